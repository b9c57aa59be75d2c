"""Loads LTX-Video from its files."""

from typing import Any

from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.ltxv.pieces import pieces
from diffusion.families.ltxv.shapes import LtxvShape
from diffusion.families.transformers import load_transformer
from diffusion.latent_format import LatentFormat
from diffusion.parameterization import Parameterization

# The autoencoder has normalised it already: its scale is the model's.
LATENT = LatentFormat(128, px=32, frames=8)
DIFFUSERS = "proj_in.weight"
FLOW = Parameterization("exponential_flow", shift=2.37)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, LTXV)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(
        found, loading, _empty, LATENT, pieces=pieces, whole=DIFFUSERS, sees_kept_clean=True
    )


def _empty(shape: LtxvShape) -> Any:
    # Here and not at the top: importing this class takes many seconds, and only stages that
    # sample need it.
    from diffusers.models.transformers import transformer_ltx  # noqa: PLC0415

    kind: Any = transformer_ltx.LTXVideoTransformer3DModel
    return kind(**shape.config())
