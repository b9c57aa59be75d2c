"""Loads Z-Image from its files."""

from diffusion.dit.next_dit import NextDit
from diffusion.dit.next_dit_shape import DIFFUSERS, pieces
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.transformers import load_transformer
from diffusion.latent_format import LatentFormat
from diffusion.parameterization import Parameterization

LATENT = LatentFormat(16, 0.3611, 0.1159)  # Flux's
FLOW = Parameterization("flow", shift=3.0, multiplier=1.0)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, ZImage)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(found, loading, NextDit, LATENT, pieces=pieces, whole=DIFFUSERS)
