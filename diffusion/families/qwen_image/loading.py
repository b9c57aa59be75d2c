"""Qwen-Image, from files to modules."""

import torch

from diffusion.dit.loading import filled, size_of
from diffusion.families.family import Found, LoadedModel, Loading
from diffusion.families.qwen_image.network import QwenImage
from diffusion.latent_format import WAN21_LATENT
from diffusion.parameterization import Parameterization

FLOW = Parameterization("exponential_flow", shift=1.15)


def parameterization(_found: Found) -> Parameterization:
    """How its time runs. (ComfyUI supported_models.py, QwenImage)"""
    return FLOW


def load(found: Found, loading: Loading) -> LoadedModel:
    """Raises BadModelFile where something is missing."""
    shape, dtype = found.shape, precision(loading.dtype)
    module = filled(
        lambda: QwenImage(shape),
        found.part,
        None,
        dtype=dtype,
        device=loading.device,
        weight_dtype=loading.weight_dtype,
    )
    return LoadedModel(
        family=found.family,
        module=module,
        shape=shape,
        parameterization=FLOW,
        latent_format=WAN21_LATENT,
        dtype=dtype,
        size=size_of(module),
    )


def precision(dtype: torch.dtype) -> torch.dtype:
    """In which it computes, where others compute in `dtype`: it overflows in float16."""
    return torch.bfloat16 if dtype == torch.float16 else dtype
