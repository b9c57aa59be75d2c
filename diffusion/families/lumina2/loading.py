"""Lumina 2, from files to modules."""

from diffusion.dit.loading import filled, size_of
from diffusion.dit.next_dit import NextDit
from diffusion.dit.next_dit_shape import pieces
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.flux.loading import LATENT, precision
from diffusion.parameterization import Parameterization

FLOW = Parameterization("flow", shift=6.0, multiplier=1.0)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, Lumina2)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    part, shape, dtype = found.part, found.shape, precision(loading.dtype)
    module = filled(
        lambda: NextDit(shape),
        part,
        pieces(shape),
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
    )
