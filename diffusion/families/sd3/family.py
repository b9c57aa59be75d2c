"""Stable Diffusion 3 and 3.5: a transformer of text and picture in one sequence."""

from functools import partial

from diffusion.batch.calls import Limits
from diffusion.batch.controls import LoadedControl
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.pieces import file_names_by
from diffusion.dit.weight_names import names_by
from diffusion.families.family import ControlKind, ControlSource, Family, LoadedModel
from diffusion.families.sd3.conditions import blank, embed
from diffusion.families.sd3.control import is_control, load_control
from diffusion.families.sd3.loading import load, parameterization
from diffusion.families.sd3.network import blocks, sd3
from diffusion.families.sd3.pieces import pieces
from diffusion.families.sd3.shapes import read_shape
from diffusion.families.sd3.stability import MARK, load_stability_control
from diffusion.families.sd3.text import TEXT


def _denoiser(model: LoadedModel, limits: Limits) -> DitDenoiser:
    return DitDenoiser(partial(sd3, model.module), model.shape, limits)


def _stability(source: ControlSource) -> LoadedControl:
    return load_stability_control(
        source.weights, source.model, dtype=source.dtype, device=source.device
    )


SD3 = Family(
    name="sd3",
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
    controls=(
        ControlKind(lambda weights: MARK in weights, _stability, made_of_model=True),
        ControlKind(is_control, load_control),
    ),
)
