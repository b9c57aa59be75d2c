"""Seeded weights in the layouts of annotators' files, and the libraries that read them."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deployments.detectors import LoadedDetectors
from graph.annotators import Annotator, HubFile
from storage.models.annotators import AnnotatorFolder

CPU = torch.device("cpu")
MIB = 2**20
Levels = NDArray[np.uint8]


def detectors(models_dir: Path, budget_bytes: int = 4096 * MIB) -> LoadedDetectors:
    """The real thing, over a models folder."""
    folder = AnnotatorFolder.of(models_dir)
    return LoadedDetectors(folder, device=CPU, budget_bytes=budget_bytes)


def lively(network: nn.Module, seed: int = 1, gain: float = 1.0) -> nn.Module:
    """`network` with seeded weights by which pictures do not die out on their way through."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.dim() < 2:
                around = 1.0 if name.endswith("weight") else 0.0
                tensor.normal_(around, 0.1)
            else:
                fan_in = tensor[0].numel()
                tensor.normal_(0.0, gain * (2 / fan_in) ** 0.5)
    return network.eval()


def put(models_dir: Path, weights: Mapping[str, Any], file: Annotator | HubFile) -> Path:
    """Write a file where the pack has it; its folder, which the library's classes take."""
    where = file.file if isinstance(file, Annotator) else file
    path = models_dir / "annotators" / where.repository / where.name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(weights), path)
    return path.parent


def picture(height: int = 64, width: int = 128) -> Levels:
    """Something with edges: a disc, a box and a diagonal on a gradient."""
    y, x = np.mgrid[:height, :width]
    shades = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2)
    drawn = np.ascontiguousarray(shades.astype(np.uint8))
    cv2.circle(drawn, (width // 4, height // 2), height // 4, (250, 30, 40), -1)
    cv2.rectangle(drawn, (width // 2, height // 4), (width - 9, height - 9), (20, 200, 90), -1)
    cv2.line(drawn, (0, height - 1), (width - 1, 0), (255, 255, 255), 2)
    return drawn


def as_image(levels: Levels) -> Tensor:
    return torch.from_numpy(levels)[None].float() / 255


def as_levels(image: Tensor) -> Levels:
    (first,) = image
    return np.asarray((first * 255).round().numpy(), dtype=np.uint8)


def library(name: str) -> ModuleType:
    """`controlnet_aux.<name>` itself, with just enough of torchvision for it to be imported."""
    spec = find_spec("controlnet_aux")
    assert spec is not None
    assert spec.submodule_search_locations
    package = ModuleType("controlnet_aux")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules.setdefault("controlnet_aux", package)
    with _some_of_torchvision():
        return importlib.import_module(f"controlnet_aux.{name}")


class Normalize:
    """torchvision.transforms.Normalize, as its documentation has it."""

    def __init__(self, mean: Any, std: Any) -> None:
        self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.mean.to(x)) / self.std.to(x)


class ToTensor:
    """torchvision.transforms.ToTensor for float arrays, which it does not scale."""

    def __call__(self, x: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))


class Compose:
    def __init__(self, steps: Any) -> None:
        self.steps = steps

    def __call__(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


@contextmanager
def _some_of_torchvision() -> Iterator[None]:
    outer, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    for member in (Normalize, ToTensor, Compose):
        setattr(transforms, member.__name__, member)
    transforms.ToPILImage = object  # type: ignore[attr-defined]
    transforms.transforms = transforms  # type: ignore[attr-defined]
    outer.transforms = transforms  # type: ignore[attr-defined]
    before = dict(sys.modules)
    sys.modules.setdefault("torchvision", outer)
    sys.modules.setdefault("torchvision.transforms", transforms)
    try:
        yield
    finally:  # others look for the real one
        for name in ("torchvision", "torchvision.transforms"):
            if name not in before:
                del sys.modules[name]
