"""LTX-Video: tokens of strongly compressed videos, placed by seconds and pixels."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.pieces import file_names_by
from diffusion.dit.weight_names import names_by
from diffusion.families.family import Family, LoadedModel
from diffusion.families.ltxv.conditions import blank, embed
from diffusion.families.ltxv.loading import load, parameterization
from diffusion.families.ltxv.network import PATCH, blocks, ltxv
from diffusion.families.ltxv.pieces import pieces
from diffusion.families.ltxv.shapes import read_shape
from diffusion.families.ltxv.text import TEXT


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(ltxv, model.module, model.shape), model.shape, limits, patch=PATCH)


LTXV = Family(
    name="ltxv",
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
