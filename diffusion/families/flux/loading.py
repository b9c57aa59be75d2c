"""Flux.1, from files to modules."""

from typing import Any

import torch

from diffusion.dit.loading import filled, size_of
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.flux.pieces import pieces
from diffusion.families.flux.shapes import FluxShape
from diffusion.latent_format import LatentFormat
from diffusion.parameterization import Parameterization

LATENT = LatentFormat(16, 0.3611, 0.1159)
DEV_FLOW = Parameterization("exponential_flow", shift=1.15)
SCHNELL_FLOW = Parameterization("flow", shift=1.0, multiplier=1.0)
DIFFUSERS = "transformer_blocks.0.attn.to_q.weight"


def parameterization(found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, Flux and FluxSchnell)"""
    return DEV_FLOW if found.shape.guided else SCHNELL_FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    part, shape, dtype = found.part, found.shape, precision(loading.dtype)
    module = filled(
        lambda: _empty(shape),
        part,
        None if DIFFUSERS in part else pieces(shape),
        dtype=dtype,
        device=loading.device,
        weight_dtype=loading.weight_dtype,
    )
    return LoadedModel(
        family=found.family,
        module=module,
        shape=shape,
        parameterization=parameterization(found),
        latent_format=LATENT,
        dtype=dtype,
        size=size_of(module),
    )


def precision(dtype: torch.dtype) -> torch.dtype:
    """In which it computes, where others compute in `dtype`: it overflows in float16."""
    return torch.bfloat16 if dtype == torch.float16 else dtype


def _empty(shape: FluxShape) -> Any:
    # Here and not at the top: importing this class takes many seconds, and only stages that
    # sample need it.
    from diffusers.models.transformers import transformer_flux  # noqa: PLC0415

    kind: Any = transformer_flux.FluxTransformer2DModel
    return kind(**shape.config())
