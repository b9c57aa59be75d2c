"""LTX-Video: tokens of strongly compressed videos, placed by seconds and pixels."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.weight_names import DitNames
from diffusion.families.family import Family, LoadedModel
from diffusion.families.ltxv.conditions import blank, embed
from diffusion.families.ltxv.loading import load, parameterization
from diffusion.families.ltxv.network import PATCH, blocks, ltxv
from diffusion.families.ltxv.pieces import pieces
from diffusion.families.ltxv.shapes import LtxvShape, read_shape
from diffusion.families.ltxv.text import TEXT


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(ltxv, model.module, model.shape), model.shape, limits, patch=PATCH)


def _weight_names(shape: LtxvShape, names: tuple[str, ...]) -> DitNames:
    return DitNames(tuple(pieces(shape)), names)


LTXV = Family(
    name="ltxv",
    read=read_shape,
    load=load,
    parameterization=parameterization,
    denoiser=_denoiser,
    embed=embed,
    blank=blank,
    weight_names=_weight_names,
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
    file_names=lambda shape: {piece.module: piece.source for piece in pieces(shape)},
)
