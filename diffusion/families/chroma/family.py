"""Chroma: Flux's blocks, modulated by one network of time alone."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.pieces import file_names_by
from diffusion.dit.weight_names import names_by
from diffusion.families.chroma.conditions import blank, embed
from diffusion.families.chroma.loading import load, parameterization
from diffusion.families.chroma.network import blocks, chroma
from diffusion.families.chroma.pieces import pieces
from diffusion.families.chroma.shapes import read_shape
from diffusion.families.chroma.text import TEXT
from diffusion.families.family import Family, LoadedModel


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(chroma, model.module), model.shape, limits)


CHROMA = Family(
    name="chroma",
    read=read_shape,
    load=load,
    parameterization=parameterization,
    denoiser=_denoiser,
    embed=embed,
    blank=blank,
    weight_names=names_by(pieces),
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
    file_names=file_names_by(pieces),
)
