"""Loads Flux.1 from its files."""

from typing import Any

from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.flux.pieces import pieces
from diffusion.families.flux.shapes import FluxShape
from diffusion.families.transformers import load_transformer
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
    return load_transformer(found, loading, _empty, LATENT, pieces=pieces, whole=DIFFUSERS)


def _empty(shape: FluxShape) -> Any:
    # Here and not at the top: importing this class takes many seconds, and only stages that
    # sample need it.
    from diffusers.models.transformers import transformer_flux  # noqa: PLC0415

    kind: Any = transformer_flux.FluxTransformer2DModel
    return kind(**shape.config())
