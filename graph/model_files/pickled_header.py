"""Reads the tensors of a pickled checkpoint, and their offsets in the file.

This reader is the only one: uploads and the router check with it, and weights are loaded from the
places it finds. Both layouts of torch are read, the zip file and the older one (magic number,
version, machine, value, then the storages).
"""

import io
import math
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from graph.model_files.limits import BadHeaderError, HeaderLimits
from graph.model_files.pickle_program import PickleProgram, Storage, StoredTensor

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
# Where training scripts put the weights; of two sets, the averaged one (BasicSR's) is for use.
WRAPPERS = ("state_dict", "params_ema", "params", "string_to_param", "model", "depth_model")
DIRECTORY_BYTES = 128  # of one file's line in a zip's directory; torch's have about 80
LOCAL_HEADER = struct.Struct("<4s22xHH")
COUNT = struct.Struct("<q")
OF_SCRIPTS = re.compile(r"/(code|extra)/")  # folders of TorchScript's files, never read
MOST_SHARED = 8  # times that a file's bytes may be part of tensors; tied weights are part of two


@dataclass(frozen=True)
class PickledTensor:
    """A tensor, and the bytes of the file that it is a view of.

    `start` is the byte of its first element; `strides` count elements.
    """

    shape: tuple[int, ...]
    dtype: str
    itemsize: int
    start: int
    strides: tuple[int, ...]

    @property
    def span(self) -> int:
        """Bytes from its first element to the end of its last."""
        return _extent(self.shape, self.strides) * self.itemsize


def read_pickled(path: Path, limits: HeaderLimits) -> dict[str, PickledTensor]:
    """The tensors of a checkpoint by name, from under the wrappers of training scripts.

    Raises:
        BadHeaderError: not written by torch, cut short, holding more than tensors, or over the
            limits.
    """
    return read_values(
        path, limits, PickleProgram(limits), lambda value: state_tensors(value, limits)
    )


def read_values(
    path: Path,
    limits: HeaderLimits,
    program: PickleProgram,
    tensors: Callable[[Any], Iterable[tuple[str, StoredTensor]]],
) -> dict[str, PickledTensor]:
    """The tensors that `tensors` finds in what a file's pickle makes. Raises: BadHeaderError."""
    with path.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        in_zip = stream.read(4) == b"PK\x03\x04"
        stream.seek(0)
        try:
            value, places = (_from_zip if in_zip else _from_legacy)(stream, size, limits, program)
            found = {name: _placed(name, tensor, places, limits) for name, tensor in tensors(value)}
        except BadHeaderError:
            raise
        except Exception as error:  # whatever a damaged or hostile file makes of its reader
            problem = "it is damaged, or torch did not write it"
            raise BadHeaderError(problem) from error
    limits.check_count(len(found))
    total = sum(math.prod(tensor.shape) * tensor.itemsize for tensor in found.values())
    if total > MOST_SHARED * size:
        problem = f"its tensors would take {total} bytes, and the file has {size}"
        raise BadHeaderError(problem)
    return found


def _placed(
    name: str, tensor: StoredTensor, places: Mapping[str, int], limits: HeaderLimits
) -> PickledTensor:
    limits.check_shape(name, tensor.shape)
    storage = tensor.storage
    elements = math.prod(tensor.shape)
    reached = tensor.offset + _extent(tensor.shape, tensor.strides)
    if max(elements, reached) * tensor.itemsize > storage.n_bytes:
        wanted = f"{elements} elements up to number {reached}"
        there = storage.n_bytes // tensor.itemsize
        problem = f"tensor {name!r} needs {wanted}, and its storage has {there}"
        raise BadHeaderError(problem)
    start = places[storage.key] + tensor.offset * tensor.itemsize
    return PickledTensor(tensor.shape, tensor.dtype, tensor.itemsize, start, tensor.strides)


def _extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Elements from the first to the last, counting both."""
    if 0 in shape:
        return 0
    return 1 + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))


def _from_zip(
    stream: IO[bytes], size: int, limits: HeaderLimits, program: PickleProgram
) -> tuple[Any, dict[str, int]]:
    archive = _opened_zip(stream, limits)
    entries = {entry.filename: entry for entry in archive.infolist()}
    read = (entry for name, entry in entries.items() if not OF_SCRIPTS.search(name))
    unpacked = sum(entry.file_size for entry in read)
    if unpacked > size:  # torch stores, it never compresses
        problem = f"it would unpack to {unpacked} bytes"
        raise BadHeaderError(problem)
    name = next((name for name in entries if name.rpartition("/")[2] == "data.pkl"), None)
    if name is None:
        problem = "a zip file without a checkpoint in it"
        raise BadHeaderError(problem)
    if entries[name].file_size > limits.header_bytes:
        problem = f"a pickle of {entries[name].file_size} bytes; the limit is {limits.header_bytes}"
        raise BadHeaderError(problem)
    folder = name.removesuffix("data.pkl")
    order = entries.get(f"{folder}byteorder")
    if order is not None and order.file_size < 8 and archive.read(order) == b"big":
        problem = "it was written by a big-endian machine, which is not served"
        raise BadHeaderError(problem)
    value = program.run(io.BytesIO(archive.read(name)))
    places = {
        key: _place_in_zip(stream, entries.get(f"{folder}data/{key}"), storage, size)
        for key, storage in program.storages.items()
    }
    return value, places


def _opened_zip(stream: IO[bytes], limits: HeaderLimits) -> zipfile.ZipFile:
    """The archive, whose directory is not read when it is too long."""
    bounded = _AtMost(stream, limits.tensors * DIRECTORY_BYTES)
    try:
        archive = zipfile.ZipFile(bounded)
    except zipfile.BadZipFile as error:
        problem = "it is cut short"
        raise BadHeaderError(problem) from error
    bounded.most = limits.header_bytes
    return archive


class _AtMost:
    """A stream of which no more than so many bytes are read in one go."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self.most = most
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            problem = f"a part of {size} bytes; the limit is {self.most}"
            raise BadHeaderError(problem)
        return self._stream.read(size)

    def close(self) -> None:
        """The stream is closed by who opened it."""


def _place_in_zip(
    stream: IO[bytes], entry: zipfile.ZipInfo | None, storage: Storage, size: int
) -> int:
    """The byte of the file at which a storage starts."""
    if entry is None or entry.file_size < storage.n_bytes:
        problem = f"it is cut short: storage {storage.key!r} is not whole"
        raise BadHeaderError(problem)
    stream.seek(entry.header_offset)
    _, name_bytes, extra_bytes = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
    start: int = entry.header_offset + LOCAL_HEADER.size + name_bytes + extra_bytes
    stored = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
    if not stored or start + storage.n_bytes > size:
        problem = f"its storage {storage.key!r} is compressed or not whole"
        raise BadHeaderError(problem)
    return start


def _from_legacy(
    stream: IO[bytes], size: int, limits: HeaderLimits, program: PickleProgram
) -> tuple[Any, dict[str, int]]:
    start = io.BytesIO(stream.read(limits.header_bytes))
    if program.run(start) != LEGACY_MAGIC:
        problem = "torch did not write it"
        raise BadHeaderError(problem)
    program.run(start)
    machine = program.run(start)
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        problem = "it was written by a big-endian machine, which is not served"
        raise BadHeaderError(problem)
    value, keys = program.run(start), program.run(start)
    places: dict[str, int] = {}
    at = start.tell()
    for key in keys:
        storage = program.storages[key if isinstance(key, str) else ""]
        stream.seek(at)
        count = stream.read(COUNT.size)
        places[key] = at + COUNT.size
        at += COUNT.size + storage.n_bytes
        if at > size:
            problem = f"it is cut short: {at - size} bytes are missing"
            raise BadHeaderError(problem)
        if COUNT.unpack(count)[0] != storage.count:
            problem = f"its storage {storage.key!r} is not as long as described"
            raise BadHeaderError(problem)
    return value, places


def state_tensors(value: Any, limits: HeaderLimits) -> Iterator[tuple[str, StoredTensor]]:
    """The tensors of a checkpoint, or of the parts of which one is made of several."""
    if not isinstance(value, dict):
        return
    wrapped = [value.get(name) for name in WRAPPERS]
    if len(value) == 1:
        wrapped.extend(value.values())
    source = next((inner for inner in wrapped if isinstance(inner, dict)), value)
    named = _named_tensors(source, with_parts=source is value)
    for count, (start, key, tensor) in enumerate(named, 1):
        limits.check_count(count)  # a dict may be a part many times
        limits.check_name(start)
        limits.check_name(key)
        yield start + key, tensor


def _named_tensors(
    source: dict[str | int, Any], *, with_parts: bool
) -> Iterator[tuple[str, str, StoredTensor]]:
    """Each tensor with its part's name and its own."""
    for key, inner in source.items():
        if isinstance(inner, StoredTensor):
            yield "", str(key), inner
        elif with_parts and isinstance(inner, dict):
            for own, tensor in inner.items():
                if isinstance(tensor, StoredTensor):
                    yield f"{key}.", str(own), tensor
