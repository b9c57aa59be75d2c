"""Narrow Wan transformers of random weights, as files in their layouts, and drawn inputs."""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.families.wan.network import WanTransformer
from diffusion.families.wan.shapes import WanShape
from tests.diffusion.model_files import CPU, seeded, written

T2V = WanShape(
    in_channels=16,
    out_channels=16,
    width=128,
    mlp=64,
    depth=2,
    context_dim=4096,
    time_dim=256,
)
I2V = replace(T2V, in_channels=36, image_dim=1280)
SHAPES: Mapping[str, WanShape] = {
    "t2v": T2V,
    "i2v": I2V,
    "flf2v": replace(I2V, image_tokens=8),
    "i2v22": replace(T2V, in_channels=36),
    "fun": replace(I2V, in_channels=48),
    "fun22": replace(T2V, in_channels=52, reference_channels=16),
    "ti2v": replace(T2V, in_channels=48, out_channels=48),
    "vace": replace(T2V, vace_depth=1, vace_channels=96),
    "camera": replace(I2V, in_channels=32, camera_channels=1536, camera_layers=1),
}


def tensors_of(shape: WanShape) -> dict[str, Tensor]:
    """Under the published names. Queries are large, so that attention looks at few tokens."""
    with torch.device("meta"):
        module = WanTransformer(shape)
    drawn = {name: seeded(name, tuple(p.shape)) for name, p in module.named_parameters()}
    return {k: t * 4 if k.endswith("norm_q.weight") else t for k, t in drawn.items()}


def plain(key: str, shape: tuple[int, ...]) -> Tensor:
    """Normal numbers, as tests/contract/wan.npz was recorded with."""
    generator = np.random.default_rng(zlib.crc32(key.encode()))
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))


def loaded(folder: Path, tensors: Mapping[str, Tensor]) -> LoadedModel:
    return FAMILIES.load(written(folder, tensors), dtype=torch.float32, device=CPU)
