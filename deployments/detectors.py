"""Loads the networks of preprocessors on demand, within a memory budget."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn

from diffusion.memory.cache import ModelCache
from diffusion.upscaling.models import load_upscaler
from diffusion.weights import Weights, open_weights
from graph.annotators import FOLDER, Annotator, FixedFile, MissingFixedFileError
from graph.errors import BadModelFile, MissingModelFile, ServiceError
from graph.plain_reasons import UNFIT_FILE, plain_reason
from graph.values import ModelFile
from preprocessors.detectors import AnnotatorFile, Build
from storage.models.annotators import AnnotatorFolder

T = TypeVar("T")


@dataclass(eq=False)
class DetectorMemoryError(ServiceError):
    """A hint that does not fit into the memory of the device."""

    status = 503
    code = "out_of_memory"
    template = "{name} needs more memory for a picture of this size than there is."
    name: str


class LoadedDetectors:
    """Networks of one device. Thread-safe: preprocessors run in threads beside each other."""

    def __init__(
        self,
        folder: AnnotatorFolder,
        *,
        device: torch.device,
        budget_bytes: int,
        models: Callable[[ModelFile], Path] | None = None,
        find: Callable[[str, str], ModelFile] = ModelFile,
    ) -> None:
        """`models` says where a file of the models folder is, `find` describes one by its name."""
        self._folder = folder
        self._models = models
        self._find = find
        self._device = device
        self.weights: ModelCache[tuple[ModelFile, Build[Any]], Any] = ModelCache(
            budget_bytes, _size
        )

    @contextmanager
    def loaded(self, annotator: Annotator, build: Build[T]) -> Iterator[T]:
        """See preprocessors.detectors.Detectors."""
        with self._leased(self._folder.have(annotator), build) as network:
            yield network

    @contextmanager
    def opened(self, file: ModelFile | FixedFile, build: Build[T]) -> Iterator[T]:
        """See preprocessors.detectors.Detectors."""
        described = self._described(file) if isinstance(file, FixedFile) else file
        with self._leased(described, build) as network:
            yield network

    @contextmanager
    def restorer(self, file: ModelFile) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
        """See preprocessors.detectors.Detectors."""
        with self._leased(file, restoring_network) as network:

            def draw(x: torch.Tensor) -> torch.Tensor:
                drawn = network(x.to(self._device))
                return (drawn if isinstance(drawn, torch.Tensor) else drawn[0]).float().cpu()

            yield draw

    @contextmanager
    def _leased(self, file: ModelFile, build: Build[T]) -> Iterator[T]:
        with self.weights.lease((file, build), lambda: self._load(file, build)) as network:
            try:
                yield cast(T, network)
            except torch.OutOfMemoryError as error:
                raise DetectorMemoryError(file.name) from error

    def resident(self) -> tuple[ModelFile, ...]:
        """The files whose networks are in memory."""
        return tuple(file for file, _ in self.weights.resident())

    def _described(self, file: FixedFile) -> ModelFile:
        try:
            return self._find(file.folder, file.name)
        except MissingModelFile as error:
            raise MissingFixedFileError.of(file) from error

    def _path(self, file: ModelFile) -> Path:
        if file.folder == FOLDER:
            return self._folder.path(file)
        if self._models is None:
            raise MissingModelFile(file.folder, file.name)
        return self._models(file)

    def _load(self, file: ModelFile, build: Build[T]) -> T:
        path = self._path(file)

        def read() -> Weights:
            return open_weights(path, file)

        try:
            network = build(AnnotatorFile(path, read, self._device))
        except ServiceError:
            raise
        except Exception as error:  # whatever a library raises, the file gave the reason
            raise BadModelFile(file.folder, file.name, plain_reason(error, UNFIT_FILE)) from error
        return cast(T, network.to(self._device)) if isinstance(network, nn.Module) else network


def restoring_network(file: AnnotatorFile) -> nn.Module:
    """The network of a file that spandrel knows."""
    weights = cast(Weights, file.read())
    network: nn.Module = load_upscaler(weights, device=file.device).descriptor.model
    return network


def _size(network: Any) -> int:
    """Bytes of a network; one that torch does not hold says them itself."""
    if not isinstance(network, nn.Module):
        return int(network.nbytes)
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
