"""Small model files for tests: real layouts, every tensor drawn from a seed that is its name."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.weights import Weights, open_weights
from graph.values import ModelFile

CONTRACT = Path(__file__).parent.parent / "contract"
CPU = torch.device("cpu")
Shapes = Mapping[str, tuple[int, ...]]


def seeded(key: str, shape: tuple[int, ...]) -> Tensor:
    """What the recorded answers in tests/contract were computed with."""
    drawn = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float32)
    if len(shape) >= 2:
        drawn = drawn / np.float32(np.sqrt(np.prod(shape[1:])))
    elif key.endswith("weight"):
        drawn = 1 + drawn * np.float32(0.1)
    else:
        drawn = drawn * np.float32(0.02)
    return torch.from_numpy(np.asarray(drawn, dtype=np.float32))


def filled(shapes: Shapes) -> dict[str, Tensor]:
    return {key: seeded(key, tuple(shape)) for key, shape in shapes.items()}


def recorded_shapes(name: str) -> dict[str, Shapes]:
    """Tensor names and shapes by model, from `tests/contract/<name>.json.gz`."""
    return cast(
        dict[str, Shapes], json.loads(gzip.decompress((CONTRACT / f"{name}.json.gz").read_bytes()))
    )


def recorded(name: str) -> dict[str, Tensor]:
    """Recorded tensors, from `tests/contract/<name>.npz`."""
    with np.load(CONTRACT / f"{name}.npz") as archive:
        return {key: torch.from_numpy(archive[key]) for key in archive}


def written(folder: Path, tensors: Mapping[str, Tensor], name: str = "m.safetensors") -> Weights:
    """`tensors` as an opened file."""
    save_file(dict(tensors), folder / name)
    return open_weights(folder / name, ModelFile("checkpoints", name))


def loaded(folder: Path, tensors: Mapping[str, Tensor]) -> LoadedModel:
    """The model in a file of `tensors`, in float32."""
    return FAMILIES.load(written(folder, tensors), dtype=torch.float32, device=CPU)


def without(key: str) -> Callable[[dict[str, Tensor]], object]:
    """Takes a tensor out of a file."""
    return lambda tensors: tensors.pop(key)


def misshapen(key: str, *shape: int) -> Callable[[dict[str, Tensor]], object]:
    """Gives a tensor of a file another shape."""
    return lambda tensors: tensors.update({key: torch.zeros(shape)})
