"""Loads Flux.2 from its files."""

from typing import Any

from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.flux.loading import DIFFUSERS
from diffusion.families.flux2.kept_attention import attend_to_kept
from diffusion.families.flux2.pieces import pieces
from diffusion.families.flux2.shapes import Flux2Shape
from diffusion.families.transformers import load_transformer
from diffusion.latent_format import LatentFormat
from diffusion.parameterization import Parameterization

# The autoencoder has packed and normalised it already: its scale is the model's.
LATENT = LatentFormat(128, px=16)
FLOW = Parameterization("exponential_flow", shift=2.02)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, Flux2)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(found, loading, _empty, LATENT, pieces=pieces, whole=DIFFUSERS)


def _empty(shape: Flux2Shape) -> Any:
    # Here and not at the top: importing this class takes many seconds, and only stages that
    # sample need it.
    from diffusers.models.transformers import transformer_flux2  # noqa: PLC0415

    kind: Any = transformer_flux2.Flux2Transformer2DModel
    module: Any = kind(**shape.config())
    attend_to_kept(module)
    return module
