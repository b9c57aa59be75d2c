"""Flux.1: text and picture part ways in the first blocks and are one sequence in the others."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.patches import PatchKind
from diffusion.dit.pieces import file_names_by
from diffusion.families.family import ControlKind, Family, LoadedModel
from diffusion.families.flux.conditions import blank, embed
from diffusion.families.flux.control_files import is_control, load_control
from diffusion.families.flux.loading import load, parameterization
from diffusion.families.flux.network import blocks, flux
from diffusion.families.flux.pieces import pieces
from diffusion.families.flux.shapes import read_shape, widened
from diffusion.families.flux.style import MARK, load_style
from diffusion.families.flux.text import TEXT
from diffusion.families.flux.weight_names import weight_names


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(flux, model.module), model.shape, limits)


FLUX = Family(
    name="flux",
    read=read_shape,
    load=load,
    parameterization=parameterization,
    denoiser=_denoiser,
    embed=embed,
    blank=blank,
    weight_names=weight_names,
    text=TEXT,
    keeps_float8=True,
    blocks=blocks,
    file_names=file_names_by(pieces),
    widened=widened,
    controls=(ControlKind(is_control, load_control),),
    patches=(PatchKind(lambda weights: MARK in weights, load_style),),
)
