"""Z-Image: a transformer that reads Qwen3, and refines text and picture before it joins them."""

from functools import partial

import torch

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.next_dit import blocks, next_dit
from diffusion.dit.next_dit_shape import NextDitShape, pieces
from diffusion.dit.patches import PatchKind
from diffusion.dit.weight_names import DitNames
from diffusion.families.family import Family, LoadedModel
from diffusion.families.z_image.control import MARK, load_fun
from diffusion.families.z_image.loading import load, parameterization
from diffusion.families.z_image.shapes import MULTIPLE, read_shape
from diffusion.families.z_image.text import TEXT
from graph.values import Condition


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(next_dit, model.module), model.shape, limits)


def _embed(_model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> DitEmbedding:
    return embedding(condition, frame, context=batched(condition.tokens, frame))


def _blank(shape: NextDitShape) -> Condition:
    return Condition(torch.zeros(1, MULTIPLE, shape.context_dim))


def _weight_names(shape: NextDitShape, names: tuple[str, ...]) -> DitNames:
    return DitNames(tuple(pieces(shape)), names)


Z_IMAGE = Family(
    name="z_image",
    read=read_shape,
    load=load,
    parameterization=parameterization,
    denoiser=_denoiser,
    embed=_embed,
    blank=_blank,
    weight_names=_weight_names,
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
    patches=(PatchKind(lambda weights: MARK in weights, load_fun),),
    file_names=lambda shape: {piece.module: piece.source for piece in pieces(shape)},
)
