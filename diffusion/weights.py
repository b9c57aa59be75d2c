"""An opened model file: names, shapes and dtypes at once, tensors only when asked for."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffusion.packing.forms import packed
from diffusion.packing.packed import Packed
from graph.errors import BadModelFile
from graph.model_files.header import DEFAULT, Header, is_gguf, is_pickled, read_header
from graph.model_files.header import Entry as HeaderEntry
from graph.model_files.limits import HeaderLimits
from graph.model_files.pickled_header import PickledTensor
from graph.values import ModelFile

T = TypeVar("T")

# By their safetensors names. Those that torch does not compute with are not here.
DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Entry:
    """What is known of a tensor without reading it. A dtype torch has no name for is None.

    `packed_bytes` is what a packed one takes, whose shape is that of the numbers it stands for.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype | None
    packed_bytes: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the data."""
        if self.packed_bytes is not None:
            return self.packed_bytes
        return math.prod(self.shape) * (self.dtype.itemsize if self.dtype else 1)


def nothing_packed(name: str) -> Packed:
    """Of files without packed tensors, of which none can be asked for."""
    raise KeyError(name)


class Weights(Mapping[str, Tensor]):
    """The tensors of one file, or of the part of it whose names share a prefix.

    Indexing reads one tensor from the file to the CPU. It may share the file's memory map, so
    whoever keeps a tensor copies it. One that is packed comes as the numbers it stands for; who can
    keep it packed takes it from `packed`. Safe to read from several threads.
    """

    def __init__(
        self,
        file: ModelFile,
        entries: Mapping[str, Entry],
        read: Callable[[str], Tensor],
        prefix: str = "",
        metadata: Mapping[str, str] = MappingProxyType({}),
        *,
        read_packed: Callable[[str], Packed] = nothing_packed,
    ) -> None:
        """`metadata` is what the author of the file wrote beside its tensors.

        `read` gives tensors that are not packed, `read_packed` those that are.
        """
        self.file = file
        self.metadata = metadata
        self._entries = entries
        self._read = read
        self._read_packed = read_packed
        self._prefix = prefix

    def __getitem__(self, key: str) -> Tensor:
        if self._entries[key].packed_bytes is not None:
            return self.packed(key).dense(torch.float32)
        return self._reading(key, self._read)

    def is_packed(self, key: str) -> bool:
        """Whether a tensor is there and packed."""
        entry = self._entries.get(key)
        return entry is not None and entry.packed_bytes is not None

    def packed(self, key: str) -> Packed:
        """One that is packed. It may share the file's memory map, too."""
        return self._reading(key, self._read_packed)

    def _reading(self, key: str, read: Callable[[str], T]) -> T:
        try:
            return read(self._prefix + key)
        except (SafetensorError, RuntimeError, OSError) as error:
            raise self.bad(problem=f"tensor {self._prefix + key!r} cannot be read") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:  # Mapping's own would read the tensor
        return key in self._entries

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is known of each tensor without reading it."""
        return self._entries

    def shape(self, key: str) -> tuple[int, ...]:
        return self._entries[key].shape

    def dtype(self, key: str) -> torch.dtype | None:
        return self._entries[key].dtype

    def under(self, prefix: str) -> "Weights":
        """The tensors whose names start with `prefix`, named without it."""
        entries = {
            key.removeprefix(prefix): entry
            for key, entry in self._entries.items()
            if key.startswith(prefix)
        }
        return Weights(
            self.file,
            entries,
            self._read,
            self._prefix + prefix,
            self.metadata,
            read_packed=self._read_packed,
        )

    def renamed(self, keys: Mapping[str, str]) -> "Weights":
        """The tensors of these `keys` by other names: new name -> this one's."""
        return Weights(
            self.file,
            {name: self._entries[key] for name, key in keys.items()},
            lambda name: self[keys[name]],
            metadata=self.metadata,
            read_packed=lambda name: self.packed(keys[name]),
        )

    def bad(self, *, problem: str) -> BadModelFile:
        """The error that says what is wrong with this file."""
        return BadModelFile(self.file.folder, self.file.name, problem)


def open_weights(path: Path, file: ModelFile, limits: HeaderLimits = DEFAULT) -> Weights:
    """Open `path`, which messages call `file`. No code in the file is ever run.

    Raises:
        BadModelFile: not a model file, cut short, or holding more than tensors.
    """
    header = read_header(path, file, limits)
    entries = {key: _entry(entry) for key, entry in header.tensors.items()}
    read: Callable[[str], Tensor]
    if is_pickled(path):
        read = PickledFile(path, header.places).read
    elif is_gguf(path):
        read = GgufFile(path, header).read
    else:
        try:
            read = _safetensors(header.files)
        except (OSError, SafetensorError) as error:
            raise BadModelFile(file.folder, file.name, "it cannot be read") from error

    def read_packed(name: str) -> Packed:
        return packed(name, header.tensors[name], read)

    return Weights(file, entries, read, metadata=header.metadata, read_packed=read_packed)


def _safetensors(files: Mapping[str, Path]) -> Callable[[str], Tensor]:
    """Reads tensors by name, each from its file."""
    opened: dict[Path, Any] = {
        path: safe_open(path, framework="pt", device="cpu") for path in set(files.values())
    }

    def read(name: str) -> Tensor:
        found: Tensor = opened[files[name]].get_tensor(name)
        return found

    return read


def _entry(entry: HeaderEntry) -> Entry:
    bytes_ = None if entry.packing is None else entry.packing.stored_bytes
    return Entry(entry.shape, DTYPES.get(entry.dtype), bytes_)


def metadata_config(weights: Weights, part: str) -> Mapping[str, Any]:
    """What the `config` in a file's metadata says of one part; empty where it says nothing."""
    try:
        config = json.loads(weights.metadata.get("config", "{}"))
    except (ValueError, RecursionError):
        return {}
    found = config.get(part) if isinstance(config, dict) else None
    return found if isinstance(found, dict) else {}


class PickledFile:
    """The tensors of a checkpoint, read from their places in the file when they are asked for.

    Safe to read from several threads.
    """

    def __init__(self, path: Path, tensors: Mapping[str, PickledTensor]) -> None:
        self._tensors = tensors
        with path.open("rb") as stream:
            self._bytes = mmap(stream.fileno(), 0, access=ACCESS_READ)

    def read(self, key: str) -> Tensor:
        """A copy of one tensor."""
        tensor, dtype = self._tensors[key], DTYPES[self._tensors[key].dtype]
        if not tensor.span:
            return torch.empty(tensor.shape, dtype=dtype)
        stored = bytearray(memoryview(self._bytes)[tensor.start : tensor.start + tensor.span])
        return torch.frombuffer(stored, dtype=dtype).as_strided(tensor.shape, tensor.strides)


class GgufFile:
    """The tensors of a GGUF file, read from their places in it; blocks as the bytes they are.

    Safe to read from several threads.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._header = header
        with path.open("rb") as stream:
            self._bytes = mmap(stream.fileno(), 0, access=ACCESS_READ)

    def read(self, key: str) -> Tensor:
        """A copy of one tensor."""
        entry, place = self._header.tensors[key], self._header.gguf[key]
        dtype = torch.uint8 if entry.packing is not None else DTYPES[entry.dtype]
        if not place.size:
            return torch.empty(entry.shape, dtype=dtype)
        stored = bytearray(memoryview(self._bytes)[place.start : place.start + place.size])
        tensor = torch.frombuffer(stored, dtype=dtype)
        return tensor if entry.packing is not None else tensor.reshape(entry.shape)
