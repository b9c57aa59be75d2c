"""What preprocessors with weights ask of the stage that they run on."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from graph.annotators import Annotator, FixedFile
from graph.values import ModelFile

T = TypeVar("T")


@dataclass(frozen=True)
class AnnotatorFile:
    """An annotator's file, opened: its tensors, and what stands beside it."""

    path: Path
    read: Callable[[], Mapping[str, Tensor]]
    device: torch.device

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, without the prefix of networks trained on several GPUs."""
        read = self.read()
        return {key.removeprefix("module."): read[key] for key in read}

    def facts(self) -> dict[str, Any]:
        """What the file of a whole network says of it, beside its tensors."""
        said = json.loads(getattr(self.read(), "metadata", {}).get("network", "{}"))
        return said if isinstance(said, dict) else {}

    def config(self, name: str = "config.json") -> dict[str, Any]:
        """The JSON object beside the file; empty where there is none."""
        beside = self.path.with_name(name)
        found = json.loads(beside.read_text()) if beside.is_file() else {}
        return found if isinstance(found, dict) else {}


Build: TypeAlias = Callable[[AnnotatorFile], T]


class Detectors(Protocol):
    """Loaded networks, shared by everybody who uses them."""

    def loaded(self, annotator: Annotator, build: Build[T]) -> AbstractContextManager[T]:
        """What `build` makes of the annotator's file, kept in memory until the block ends.

        Raises:
            MissingAnnotatorError: there is no such file.
            BadModelFile: it is not what `build` needs.
        """

    def opened(self, file: ModelFile | FixedFile, build: Build[T]) -> AbstractContextManager[T]:
        """What `build` makes of a file of the models folder, kept until the block ends.

        Raises:
            MissingModelFile, MissingFixedFileError: it is gone.
            BadModelFile: it is not what `build` needs.
        """

    def restorer(self, file: ModelFile) -> AbstractContextManager[Callable[[Tensor], Tensor]]:
        """What draws faces [1, 3, H, W] in -1..1 anew, by a file of the models folder.

        Raises:
            MissingModelFile: it is gone.
            BadModelFile: it is none of a network that is known.
        """


def filled(network: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """`network` with these weights, ready to run. What it does not know of is ignored.

    Raises:
        ValueError: weights are missing or of another shape.
    """
    wanted = network.state_dict()
    for key in _weights(wanted):
        if key not in tensors:
            problem = f"there is no tensor {key!r}"
            raise ValueError(problem)
        if tensors[key].shape != wanted[key].shape:
            has, needs = list(tensors[key].shape), list(wanted[key].shape)
            problem = f"tensor {key!r} is {has}, not {needs}"
            raise ValueError(problem)
    known = {key: tensors[key] for key in wanted if key in tensors}
    network.load_state_dict(known, strict=False)
    return network.float().eval().requires_grad_(requires_grad=False)


def _weights(wanted: Mapping[str, Tensor]) -> Iterator[str]:
    return (key for key in wanted if not key.endswith("num_batches_tracked"))


def device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
