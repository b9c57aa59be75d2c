"""Diffusion models of every kind, from files to modules: U-Nets and transformers."""

import math
from collections.abc import Mapping
from typing import TypeAlias

import torch

from diffusion.dit.call import dit_blocks
from diffusion.dit.denoiser import DitDenoiser
from diffusion.dit.loading import LoadedDit, find_dit, flow_of, load_dit
from diffusion.families.sd.denoiser import Denoiser
from diffusion.families.sd.loading import (
    LoadedUnet,
    Parameterization,
    family_of,
    find_unet,
    load_unet,
    read_parameterization,
)
from diffusion.families.sd.network import UNET_BLOCKS
from diffusion.networks.compiling import Blocks
from diffusion.networks.float8 import FLOAT8
from diffusion.weights import Weights

LoadedModel: TypeAlias = LoadedUnet | LoadedDit
ModelDenoiser: TypeAlias = Denoiser | DitDenoiser

# What UNETLoader calls the precisions that weights may be brought to. The fast kind is a way to
# multiply on a GPU, not another precision.
WEIGHT_DTYPES: Mapping[str, torch.dtype] = {
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e4m3fn_fast": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


def load_model(
    weights: Weights, *, dtype: torch.dtype, device: torch.device, weight_dtype: str = "default"
) -> LoadedModel:
    """The diffusion model of a checkpoint, or of a file that holds nothing else.

    Raises:
        BadModelFile: there is none in it, or one of a kind that is not known.
    """
    found = find_dit(weights)
    if found is None:
        return load_unet(weights, dtype=dtype, device=device)
    return load_dit(
        *found, dtype=dtype, device=device, weight_dtype=WEIGHT_DTYPES.get(weight_dtype)
    )


def expected_bytes(weights: Weights, *, dtype: torch.dtype, weight_dtype: str = "default") -> int:
    """About what a file's diffusion model takes in memory, by its names and shapes.

    Raises:
        BadModelFile: there is none in it.
    """
    found = find_dit(weights)
    part = find_unet(weights)[0] if found is None else found[0]
    narrow = WEIGHT_DTYPES.get(weight_dtype) if found else None
    return sum(
        math.prod(part.shape(key))
        * (1 if narrow or (found and part.dtype(key) in FLOAT8) else dtype.itemsize)
        for key in part
    )


def parameterization_of(weights: Weights) -> Parameterization:
    """What a file says of its noise levels, read from its names and a few small tensors."""
    found = find_dit(weights)
    if found is not None:
        return flow_of(found[1])
    part, shape = find_unet(weights)
    family = family_of(shape) or "sd15"
    return read_parameterization(weights, part, shape, family)


def repeated_blocks(model: LoadedModel) -> Blocks:
    """The blocks that make up most of `model`, as they are compiled."""
    return dit_blocks(model.module) if isinstance(model, LoadedDit) else UNET_BLOCKS


def denoiser_of(
    model: LoadedModel,
    *,
    max_rows: int,
    activation_bytes: int,
    dtype: torch.dtype,
    device: torch.device,
) -> ModelDenoiser:
    """What asks `model`."""
    if isinstance(model, LoadedDit):
        return DitDenoiser(
            model, max_rows=max_rows, activation_bytes=activation_bytes, device=device
        )
    return Denoiser(
        model.module,
        max_rows=max_rows,
        activation_bytes=activation_bytes,
        dtype=dtype,
        device=device,
    )
