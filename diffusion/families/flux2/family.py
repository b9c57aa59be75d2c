"""Flux.2: one modulation for all blocks of a kind, pictures packed and normalised before."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.batch.patches import KV_CACHE
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.pieces import file_names_by
from diffusion.dit.weight_names import names_by
from diffusion.families.family import Family, LoadedModel
from diffusion.families.flux2.conditions import blank, embed
from diffusion.families.flux2.loading import load, parameterization
from diffusion.families.flux2.network import PATCH, blocks, flux2
from diffusion.families.flux2.pieces import pieces
from diffusion.families.flux2.shapes import read_shape
from diffusion.families.flux2.text import TEXT


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(flux2, model.module), model.shape, limits, patch=PATCH)


FLUX2 = Family(
    name="flux2",
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
    changes=frozenset({KV_CACHE}),
    keeping_changes=frozenset({KV_CACHE}),
    file_names=file_names_by(pieces),
)
