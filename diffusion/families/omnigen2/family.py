"""OmniGen2: pictures by words, and by other pictures."""

from dataclasses import dataclass
from functools import partial

import torch

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.dit.conditions import DitEmbedding
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.next_dit import blocks
from diffusion.dit.next_dit_shape import NextDitShape
from diffusion.dit.pieces import file_names_by
from diffusion.dit.weight_names import names_by
from diffusion.families.family import Family, Found, LoadedModel, Loading
from diffusion.families.flux.loading import LATENT
from diffusion.families.next_dit import embed as embed_text
from diffusion.families.omnigen2.network import OmniGen2, omnigen2
from diffusion.families.omnigen2.shapes import REFERENCES, pieces, read_shape
from diffusion.families.omnigen2.text import TEXT
from diffusion.families.transformers import load_transformer
from diffusion.parameterization import Parameterization
from graph.errors import ServiceError
from graph.values import Condition

FLOW = Parameterization("flow", shift=2.6, multiplier=1.0)
TOKENS = 32  # of a prompt that says nothing


@dataclass(eq=False)
class TooManyReferencesError(ServiceError):
    """More pictures to go by than a model tells apart."""

    status = 422
    code = "too_many_references"
    template = "A prompt refers to {received} pictures; {family} takes at most {limit}."
    family: str
    limit: int
    received: int


def _parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, Omnigen2)"""
    return FLOW


def _load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(found, loading, OmniGen2, LATENT, pieces=pieces)


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(omnigen2, model.module), model.shape, limits)


def _embed(model: LoadedModel, condition: Condition, name: str, frame: Frame) -> DitEmbedding:
    """Raises TooManyReferencesError."""
    said = embed_text(model, condition, name, frame)
    if len(said.references) > REFERENCES:
        raise TooManyReferencesError("OmniGen2", REFERENCES, len(said.references))
    return said


def _blank(shape: NextDitShape) -> Condition:
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))


OMNIGEN2 = Family(
    name="omnigen2",
    read=read_shape,
    load=_load,
    parameterization=_parameterization,
    denoiser=_denoiser,
    embed=_embed,
    blank=_blank,
    weight_names=names_by(pieces),
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
    file_names=file_names_by(pieces),
)
