"""The header of a model file: its tensors by name, and its metadata.

This is the only reader of headers: uploads, validation and loading all call it, so what one
accepts the others do. Nothing in a file is run, and what is read of it is bounded.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graph.errors import BadModelFile
from graph.model_files.gguf_header import GgufTensor, read_gguf
from graph.model_files.limits import BadHeaderError, HeaderLimits
from graph.model_files.onnx_graph import read_onnx
from graph.model_files.packing import (
    SETTINGS,
    SETTINGS_BYTES,
    Entry,
    layer_settings,
    unpacked_entries,
)
from graph.model_files.pickled_header import PickledTensor, read_pickled
from graph.model_files.pickled_modules import read_network, read_script
from graph.model_files.safetensors_header import read_safetensors
from graph.model_files.shards import shards_of
from graph.values import ModelFile

__all__ = ["DEFAULT", "Entry", "Header", "is_gguf", "is_pickled", "read_header"]

PICKLED = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pt2"})
ONNX = ".onnx"
GGUF = ".gguf"
OF_MODULES = frozenset({"ultralytics"})  # folders of files that are whole networks, pickled
OF_SCRIPTS = frozenset({"frame_interpolation"})  # of which some are, with their code (TorchScript)
DEFAULT = HeaderLimits()


@dataclass(frozen=True, eq=False)
class Header:
    """The tensors of a file by name, and what its author wrote beside them.

    `places` says of a pickled file, and `gguf` of one of that kind, where each tensor lies;
    `files` says of a model in several files in which.
    """

    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str]
    places: Mapping[str, PickledTensor] = field(default_factory=dict)
    gguf: Mapping[str, GgufTensor] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


def is_pickled(path: Path) -> bool:
    """Whether a file of that name is read as a pickle."""
    return path.suffix.lower() in PICKLED


def is_gguf(path: Path) -> bool:
    """Whether a file of that name is read as GGUF. All others are read as safetensors."""
    return path.suffix.lower() == GGUF


def _onnx(path: Path, limits: HeaderLimits) -> Header:  # noqa: ARG001 - it has its own
    """Nothing of a graph that was looked through."""
    read_onnx(path)
    return Header({}, {})


def read_header(path: Path, file: ModelFile, limits: HeaderLimits = DEFAULT) -> Header:
    """The header of `path`, which messages call `file`. This blocks.

    Raises:
        BadModelFile: not a model file, cut short, holding more than tensors, or over the limits.
    """
    if is_pickled(path):
        read = _network if file.folder in OF_MODULES else _pickled
        read = _scripted if file.folder in OF_SCRIPTS else read
        kind = "not a readable checkpoint"
    elif is_gguf(path):
        read, kind = _gguf, "not a readable GGUF file"
    elif path.suffix.lower() == ONNX:
        read, kind = _onnx, "not an ONNX file that is run here"
    else:
        read, kind = _safetensors, "not a safetensors file"
    try:
        header = read(path, limits)
    except BadHeaderError as error:
        raise BadModelFile(file.folder, file.name, f"{kind}: {error}") from error
    except OSError as error:
        raise BadModelFile(file.folder, file.name, "it cannot be read") from error
    if not header.tensors and path.suffix.lower() != ONNX:
        raise BadModelFile(file.folder, file.name, "no tensors in it")
    return header


def _safetensors(path: Path, limits: HeaderLimits) -> Header:
    """Of a model in several files the header that one file of all its tensors would have."""
    tensors: dict[str, Entry] = {}
    metadata: dict[str, str] = {}
    stored: dict[str, bytes] = {}
    files: dict[str, Path] = {}
    for part in shards_of(path):
        described, said, spans = read_safetensors(part, limits)
        twice = next((name for name in described if name in tensors), None)
        if twice is not None:
            problem = f"tensor {twice!r} is in {files[twice].name} and in {part.name}"
            raise BadHeaderError(problem)
        tensors |= {name: Entry(*one) for name, one in described.items()}
        limits.check_count(len(tensors))
        files |= dict.fromkeys(described, part)
        metadata |= said
        stored |= _stored_settings(part, spans, limits)
    settings = layer_settings(metadata, stored)
    return Header(unpacked_entries(tensors, settings, limits), metadata, files=files)


def _stored_settings(
    path: Path, spans: Mapping[str, tuple[int, int]], limits: HeaderLimits
) -> dict[str, bytes]:
    """What the layers of a file say of themselves, in tensors of their own."""
    ending = f".{SETTINGS}"
    found = {name: span for name, span in spans.items() if name.endswith(ending)}
    longest = max((end - start for start, end in found.values()), default=0)
    if longest > SETTINGS_BYTES or sum(e - s for s, e in found.values()) > limits.header_bytes:
        problem = f"a {SETTINGS} of {longest} bytes; the limit is {SETTINGS_BYTES}"
        raise BadHeaderError(problem)
    stored = {}
    with path.open("rb") as stream:
        for name, (start, end) in found.items():
            stream.seek(start)
            stored[name.removesuffix(ending)] = stream.read(end - start)
    return stored


def _network(path: Path, limits: HeaderLimits) -> Header:
    """A network's tensors; what is told beside them is JSON in `network` of the metadata."""
    found = read_network(path, limits)
    entries = {name: Entry(one.shape, one.dtype) for name, one in found.tensors.items()}
    return Header(entries, {"network": json.dumps(found.facts)}, found.tensors)


def _pickled(path: Path, limits: HeaderLimits) -> Header:
    return _of_places(read_pickled(path, limits), limits)


def _scripted(path: Path, limits: HeaderLimits) -> Header:
    return _of_places(read_script(path, limits), limits)


def _of_places(places: Mapping[str, PickledTensor], limits: HeaderLimits) -> Header:
    tensors = {name: Entry(tensor.shape, tensor.dtype) for name, tensor in places.items()}
    return Header(unpacked_entries(tensors, {}, limits), {}, places)


def _gguf(path: Path, limits: HeaderLimits) -> Header:
    tensors, metadata, places = read_gguf(path, limits)
    return Header(tensors, metadata, gguf=places)
