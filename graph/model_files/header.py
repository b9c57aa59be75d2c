"""The header of a model file: its tensors by name, and its metadata.

This is the only reader of headers: uploads, validation and loading all call it, so what one
accepts the others do. Nothing in a file is run, and what is read of it is bounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graph.errors import BadModelFile
from graph.model_files.limits import BadHeaderError, HeaderLimits
from graph.model_files.pickled_header import PickledTensor, read_pickled
from graph.model_files.safetensors_header import read_safetensors
from graph.values import ModelFile

PICKLED = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pt2"})
DEFAULT = HeaderLimits()


@dataclass(frozen=True)
class Entry:
    """One tensor, whose dtype goes by its name in safetensors files."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class Header:
    """The tensors of a file by name, and what its author wrote beside them.

    `places` says of a pickled file where each tensor lies.
    """

    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str]
    places: Mapping[str, PickledTensor] = field(default_factory=dict)


def is_pickled(path: Path) -> bool:
    """Whether a file of that name is read as a pickle; others are read as safetensors."""
    return path.suffix.lower() in PICKLED


def read_header(path: Path, file: ModelFile, limits: HeaderLimits = DEFAULT) -> Header:
    """The header of `path`, which messages call `file`. This blocks.

    Raises:
        BadModelFile: not a model file, cut short, holding more than tensors, or over the limits.
    """
    try:
        header = _pickled(path, limits) if is_pickled(path) else _safetensors(path, limits)
    except BadHeaderError as error:
        kind = "not a readable checkpoint" if is_pickled(path) else "not a safetensors file"
        raise BadModelFile(file.folder, file.name, f"{kind}: {error}") from error
    except OSError as error:
        raise BadModelFile(file.folder, file.name, "it cannot be read") from error
    if not header.tensors:
        raise BadModelFile(file.folder, file.name, "no tensors in it")
    return header


def _safetensors(path: Path, limits: HeaderLimits) -> Header:
    tensors, metadata = read_safetensors(path, limits)
    return Header({name: Entry(*described) for name, described in tensors.items()}, metadata)


def _pickled(path: Path, limits: HeaderLimits) -> Header:
    places = read_pickled(path, limits)
    tensors = {name: Entry(tensor.shape, tensor.dtype) for name, tensor in places.items()}
    return Header(tensors, {}, places)
