"""Loads Stable Diffusion 3 and 3.5 from its files."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.sd3.pieces import pieces
from diffusion.families.sd3.shapes import Sd3Shape
from diffusion.families.transformers import load_transformer
from diffusion.latent_format import LatentFormat
from diffusion.networks.filling import copied, size_of
from diffusion.parameterization import Parameterization
from diffusion.weights import Weights

LATENT = LatentFormat(16, 1.5305, 0.0609)
FLOW = Parameterization("flow", shift=3.0)
DIFFUSERS = "transformer_blocks.0.attn.to_q.weight"
POSITIONS = "pos_embed"  # a table that is no parameter, in Stability's layout and in diffusers'


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, SD3)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    model = load_transformer(
        found, loading, _empty, LATENT, pieces=pieces, whole=DIFFUSERS, float16=True
    )
    _place_positions(model.module, found.part, loading.dtype, loading.device)
    return replace(model, size=size_of(model.module))


def _empty(shape: Sd3Shape) -> Any:
    # Here and not at the top: importing this class takes many seconds, and only stages that
    # sample need it.
    from diffusers.models.transformers import transformer_sd3  # noqa: PLC0415

    kind: Any = transformer_sd3.SD3Transformer2DModel
    return kind(**shape.config())


def _place_positions(
    module: nn.Module, part: Weights, dtype: torch.dtype, device: torch.device
) -> None:
    """Give it the file's own table of positions."""
    for key in (POSITIONS, f"{POSITIONS}.{POSITIONS}"):
        if key in part:
            module.get_submodule(POSITIONS).register_buffer(
                POSITIONS, copied(part[key], dtype, device)
            )
