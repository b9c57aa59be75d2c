"""Wan 2.1 and 2.2: transformers of videos, which attend to the text beside."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.batch.patches import SCALE_ROPE
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.weight_names import names_by
from diffusion.families.family import Family, LoadedModel
from diffusion.families.wan.conditions import blank, embed
from diffusion.families.wan.loading import load, parameterization
from diffusion.families.wan.names import pieces
from diffusion.families.wan.network import blocks, wan
from diffusion.families.wan.shapes import read_shape
from diffusion.families.wan.text import TEXT


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(wan, model.module), model.shape, limits)


WAN = Family(
    name="wan",
    read=read_shape,
    load=load,
    parameterization=parameterization,
    denoiser=_denoiser,
    embed=embed,
    blank=blank,
    weight_names=names_by(lambda shape: pieces(shape.depth, shape.vace_depth)),
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
    changes=frozenset({SCALE_ROPE}),
)
