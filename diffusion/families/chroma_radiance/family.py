"""Chroma Radiance: Chroma's blocks over squares of pixels, and no autoencoder."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.pieces import file_names_by
from diffusion.dit.weight_names import names_by
from diffusion.families.chroma.conditions import blank, embed
from diffusion.families.chroma.network import blocks
from diffusion.families.chroma.text import TEXT
from diffusion.families.chroma_radiance.loading import load, parameterization, pieces
from diffusion.families.chroma_radiance.network import OPTIONS, radiance
from diffusion.families.chroma_radiance.shapes import read_shape
from diffusion.families.family import Family, LoadedModel


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(
        partial(radiance, model.module), model.shape, limits, patch=model.shape.patch
    )


CHROMA_RADIANCE = Family(
    name="chroma_radiance",
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
    changes=frozenset({OPTIONS}),
)
