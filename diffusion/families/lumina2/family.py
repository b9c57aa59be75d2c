"""Lumina 2, and NetaYume: a NextDiT that reads Gemma 2."""

import torch

from diffusion.dit.next_dit import blocks
from diffusion.dit.next_dit_shape import NextDitShape, pieces
from diffusion.dit.pieces import file_names_by
from diffusion.dit.weight_names import names_by
from diffusion.families.family import Family
from diffusion.families.lumina2.loading import load, parameterization
from diffusion.families.lumina2.shapes import read_shape
from diffusion.families.lumina2.text import TEXT
from diffusion.families.next_dit import denoiser, embed
from graph.values import Condition

TOKENS = 32  # of a prompt that says nothing


def _blank(shape: NextDitShape) -> Condition:
    return Condition(torch.zeros(1, TOKENS, shape.context_dim))


LUMINA2 = Family(
    name="lumina2",
    read=read_shape,
    load=load,
    parameterization=parameterization,
    denoiser=denoiser,
    embed=embed,
    blank=_blank,
    weight_names=names_by(pieces),
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
    file_names=file_names_by(pieces),
)
