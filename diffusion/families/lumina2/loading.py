"""Loads Lumina 2 from its files."""

from diffusion.dit.next_dit import NextDit
from diffusion.dit.next_dit_shape import pieces
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.flux.loading import LATENT
from diffusion.families.transformers import load_transformer
from diffusion.parameterization import Parameterization

FLOW = Parameterization("flow", shift=6.0, multiplier=1.0)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, Lumina2)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    return load_transformer(found, loading, NextDit, LATENT, pieces=pieces)
