"""Loads Qwen-Image from its files."""

from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.qwen_image.network import QwenImage
from diffusion.families.transformers import load_transformer
from diffusion.latent_format import WAN21_LATENT
from diffusion.parameterization import Parameterization

FLOW = Parameterization("exponential_flow", shift=1.15)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, QwenImage)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(found, loading, QwenImage, WAN21_LATENT)
