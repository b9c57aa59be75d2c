"""Z-Image: a transformer that reads Qwen3, and refines text and picture before it joins them."""

import torch

from diffusion.dit.next_dit import blocks
from diffusion.dit.next_dit_shape import NextDitShape, pieces
from diffusion.dit.patches import PatchKind
from diffusion.dit.pieces import file_names_by
from diffusion.dit.weight_names import names_by
from diffusion.families.family import Family
from diffusion.families.next_dit import denoiser, embed
from diffusion.families.z_image.control import MARK, load_fun
from diffusion.families.z_image.loading import load, parameterization
from diffusion.families.z_image.shapes import MULTIPLE, read_shape
from diffusion.families.z_image.text import TEXT
from graph.values import Condition


def _blank(shape: NextDitShape) -> Condition:
    return Condition(torch.zeros(1, MULTIPLE, shape.context_dim))


Z_IMAGE = Family(
    name="z_image",
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
    patches=(PatchKind(lambda weights: MARK in weights, load_fun),),
    file_names=file_names_by(pieces),
)
