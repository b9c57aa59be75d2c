"""What a model file says of itself without its tensors being read: names, shapes and dtypes.

For processes without torch. Nothing in a file is run, and what is read of it is bounded.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.errors import BadModelFile
from graph.values import ModelFile
from storage.models.pickle_machine import NotACheckpointError, StoredTensor
from storage.models.pickled_header import read_pickled

PICKLED = frozenset({".ckpt", ".pt", ".pth", ".bin"})
MAX_HEADER_BYTES = 32 * 2**20  # the longest of public models is below 2 MiB
METADATA = "__metadata__"
BYTES: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 1),
}


@dataclass(frozen=True)
class Entry:
    """One tensor, whose dtype goes by its name in safetensors files."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class Header:
    """The tensors of a file by name, and what its author wrote beside them."""

    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str]


def read_header(path: Path, file: ModelFile) -> Header:
    """The header of `path`, which messages call `file`.

    Raises:
        BadModelFile: not a model file, cut short, or holding more than tensors.
    """
    try:
        header = _pickled(path) if path.suffix.lower() in PICKLED else _safetensors(path)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadModelFile(file.folder, file.name, str(error) or type(error).__name__) from error
    if not header.tensors:
        raise BadModelFile(file.folder, file.name, "no tensors in it")
    return header


def _pickled(path: Path) -> Header:
    try:
        stored = read_pickled(path)
    except NotACheckpointError as error:
        problem = f"not a readable checkpoint: {error}"
        raise ValueError(problem) from error
    return Header({key: _entry_of(tensor) for key, tensor in stored.items()}, {})


def _entry_of(tensor: StoredTensor) -> Entry:
    return Entry(tensor.shape, tensor.dtype)


def _safetensors(path: Path) -> Header:
    """The JSON header: its length as a little-endian uint64, then the text."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= MAX_HEADER_BYTES:
            raise _no_safetensors(problem=f"a header of {length} bytes is not believable")
        if 8 + length > size:
            raise _no_safetensors(problem="it is cut short: its header is not whole")
        text = stream.read(length)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_safetensors(problem=f"its header is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _no_safetensors(problem="its header is not an object")
    metadata = document.pop(METADATA, None) or {}
    tensors = {key: _entry(key, said, size - 8 - length) for key, said in document.items()}
    return Header(tensors, {str(key): str(value) for key, value in metadata.items()})


def _entry(key: str, said: Any, data_bytes: int) -> Entry:
    try:
        shape, dtype = tuple(map(int, said["shape"])), str(said["dtype"])
        start, end = map(int, said["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise _no_safetensors(problem=f"tensor {key!r} is not described") from error
    if end > data_bytes:
        found = f"tensor {key!r} ends at byte {end} of {data_bytes}"
        raise _no_safetensors(problem=f"it is cut short: {found}")
    wanted = math.prod(shape) * BYTES.get(dtype, 0)
    if min((start, end - start, *shape), default=0) < 0 or (wanted and end - start != wanted):
        raise _no_safetensors(problem=f"tensor {key!r} of {shape} {dtype} has {end - start} bytes")
    return Entry(shape, dtype)


def _no_safetensors(*, problem: str) -> ValueError:
    return ValueError(f"not a safetensors file: {problem}")
