"""Z-Image, from files to modules."""

import torch

from diffusion.dit.loading import filled, size_of
from diffusion.dit.next_dit import NextDit
from diffusion.dit.next_dit_shape import DIFFUSERS, pieces
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.latent_format import LatentFormat
from diffusion.parameterization import Parameterization

LATENT = LatentFormat(16, 0.3611, 0.1159)  # Flux's
FLOW = Parameterization("flow", shift=3.0, multiplier=1.0)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, ZImage)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    part, shape, dtype = found.part, found.shape, precision(loading.dtype)
    module = filled(
        lambda: NextDit(shape),
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
        parameterization=FLOW,
        latent_format=LATENT,
        dtype=dtype,
        size=size_of(module),
    )


def precision(dtype: torch.dtype) -> torch.dtype:
    """In which it computes, where others compute in `dtype`: it overflows in float16."""
    return torch.bfloat16 if dtype == torch.float16 else dtype
