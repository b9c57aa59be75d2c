"""LTX-Video, from files to modules."""

from typing import Any

from diffusion.dit.loading import filled, size_of
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.flux.loading import precision
from diffusion.families.ltxv.pieces import pieces
from diffusion.families.ltxv.shapes import LtxvShape
from diffusion.latent_format import LatentFormat
from diffusion.parameterization import Parameterization

# The autoencoder has normalised it already: its scale is the model's.
LATENT = LatentFormat(128, px=32, frames=8)
FLOW = Parameterization("exponential_flow", shift=2.37)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, LTXV)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    part, shape, dtype = found.part, found.shape, precision(loading.dtype)
    module = filled(
        lambda: _empty(shape),
        part,
        None if "proj_in.weight" in part else pieces(shape),
        dtype=dtype,
        device=loading.device,
        weight_dtype=loading.weight_dtype,
    )
    return LoadedModel(
        family=found.family,
        module=module,
        shape=shape,
        parameterization=FLOW,
        latent_format=LATENT,
        dtype=dtype,
        size=size_of(module),
        sees_kept_clean=True,
    )


def _empty(shape: LtxvShape) -> Any:
    # Here and not at the top: importing this class takes many seconds, and only stages that
    # sample need it.
    from diffusers.models.transformers import transformer_ltx  # noqa: PLC0415

    kind: Any = transformer_ltx.LTXVideoTransformer3DModel
    return kind(**shape.config())
