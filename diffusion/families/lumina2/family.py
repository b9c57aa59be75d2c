"""Lumina 2, and NetaYume: a NextDiT that reads Gemma 2."""

from functools import partial

import torch

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from diffusion.dit.conditions import DitEmbedding, embedding
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.next_dit import blocks, next_dit
from diffusion.dit.next_dit_shape import NextDitShape, pieces
from diffusion.dit.weight_names import DitNames
from diffusion.families.family import Family, LoadedModel
from diffusion.families.lumina2.loading import load, parameterization
from diffusion.families.lumina2.shapes import read_shape
from diffusion.families.lumina2.text import TEXT
from graph.values import Condition

TOKENS = 32  # of a prompt that says nothing


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(next_dit, model.module), model.shape, limits)


def _embed(_model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> DitEmbedding:
    return embedding(condition, frame, context=batched(condition.tokens, frame))


def _blank(shape: NextDitShape) -> Condition:
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))


def _weight_names(shape: NextDitShape, names: tuple[str, ...]) -> DitNames:
    return DitNames(tuple(pieces(shape)), names)


LUMINA2 = Family(
    name="lumina2",
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
    file_names=lambda shape: {piece.module: piece.source for piece in pieces(shape)},
)
