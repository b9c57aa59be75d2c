"""Loads Wan's transformers from its files."""

from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.transformers import load_transformer
from diffusion.families.wan.names import published
from diffusion.families.wan.network import WanTransformer
from diffusion.families.wan.shapes import WanShape
from diffusion.latent_format import WAN21_LATENT, WAN22_LATENT
from diffusion.parameterization import Parameterization

FLOW = Parameterization("flow", shift=8.0)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, WAN21_T2V)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    shape = found.shape
    assert isinstance(shape, WanShape)
    return load_transformer(
        found,
        loading,
        WanTransformer,
        WAN22_LATENT if shape.frames_have_times else WAN21_LATENT,
        float16=True,
        part=published(found.part),
        sees_kept_clean=shape.frames_have_times,
    )
