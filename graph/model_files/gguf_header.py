"""Reads the header of a GGUF file (versions 2 and 3), within limits.

The format: a magic number, how many tensors and how many values there are, the values by name, the
tensors' names, shapes, types and places, and the data, aligned. (ggml docs/gguf.md)
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from graph.model_files.gguf_names import OTHER_ORDER, RENAMED
from graph.model_files.limits import BadHeaderError, HeaderLimits
from graph.model_files.packing import Entry, Packing

MAGIC = b"GGUF"
VERSIONS = (2, 3)
NUMBERS: Mapping[int, str] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
STRING, ARRAY = 8, 9
# Many times the values of public files. Their longest are the vocabularies of text encoders:
# 260,000 words, and as many numbers twice.
MOST_VALUES = 10_000
MOST_TEXTS = 1_000_000
TIMES_HEADER = 8  # the bytes of a header that has a vocabulary in it, in those of one without
ORIGINAL = "comfy.gguf.orig_shape."  # of tensors that lie in the file in another shape
ARCHITECTURE, ALIGNMENT = "general.architecture", "general.alignment"
KEPT_CHARS = 1000  # of a text that is kept
# Types of tensors: numbers in a block, and its bytes. Those that are no blocks have dtypes.
DTYPES: Mapping[int, tuple[str, int]] = {
    0: ("F32", 4), 1: ("F16", 2), 24: ("I8", 1), 25: ("I16", 2), 26: ("I32", 4), 27: ("I64", 8),
    28: ("F64", 8), 30: ("BF16", 2),
}  # fmt: skip
BLOCKS: Mapping[int, tuple[str, int, int]] = {
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18),
    23: ("IQ4_XS", 256, 136),
}  # fmt: skip
UNREAD: Mapping[int, str] = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
    22: "IQ2_S", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor lies in the file."""

    start: int
    size: int  # bytes


@dataclass(eq=False)
class _Reader:
    """Reads one value after the other, and never past the end."""

    data: mmap
    most: int
    at: int = 0
    texts: int = 0
    kept: dict[str, Any] = field(default_factory=dict)

    def take(self, count: int) -> int:
        """The place of the next `count` bytes."""
        start = self.at
        if count > len(self.data) - start:
            problem = "it is cut short: its header is not whole"
            raise BadHeaderError(problem)
        if start + count > self.most:
            problem = f"a header of more than {self.most} bytes"
            raise BadHeaderError(problem)
        self.at += count
        return start

    def number(self, kind: str) -> Any:
        size = struct.calcsize(f"<{kind}")
        return struct.unpack_from(f"<{kind}", self.data, self.take(size))[0]

    def text(self, most: int) -> str | None:
        """None for one that is longer, or that is none."""
        self.texts += 1
        if self.texts > MOST_TEXTS:
            problem = f"its header has more than {MOST_TEXTS} texts"
            raise BadHeaderError(problem)
        length = self.number("Q")
        start = self.take(length)
        if length > most:
            return None
        try:
            return self.data[start : start + length].decode()
        except UnicodeDecodeError:
            return None

    def value(self, kind: int, *, keep: bool) -> Any:
        """A value, or what stands for one that is not kept."""
        if kind == STRING:
            return self.text(KEPT_CHARS if keep else 0)
        if kind != ARRAY:
            return self.number(_number(kind))
        inner, count = self.number("I"), self.number("Q")
        if inner == STRING:
            if count > MOST_TEXTS:
                problem = f"its header has a list of {count} texts; the limit is {MOST_TEXTS}"
                raise BadHeaderError(problem)
            for _ in range(count):
                self.text(0)
            return None
        size = struct.calcsize(f"<{_number(inner)}")
        if count > self.most:
            problem = f"its header has a list of {count} numbers"
            raise BadHeaderError(problem)
        start = self.take(size * count)
        if not keep or count > KEPT_CHARS:
            return None
        return struct.unpack_from(f"<{count}{_number(inner)}", self.data, start)


def _number(kind: int) -> str:
    if kind not in NUMBERS:
        problem = f"its header has a value of the unknown type {kind}"
        raise BadHeaderError(problem)
    return NUMBERS[kind]


def read_gguf(
    path: Path, limits: HeaderLimits
) -> tuple[dict[str, Entry], dict[str, str], dict[str, GgufTensor]]:
    """Each tensor by the name that its own files have for it, the metadata, and the places.

    Raises:
        BadHeaderError: the file is damaged, of a kind that is not read, or over the limits.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        if size < len(MAGIC) + 20:
            problem = "it is cut short"
            raise BadHeaderError(problem)
        with mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
            return _read(_Reader(data, TIMES_HEADER * limits.header_bytes), size, limits)


def _read(
    reader: _Reader, size: int, limits: HeaderLimits
) -> tuple[dict[str, Entry], dict[str, str], dict[str, GgufTensor]]:
    start = reader.take(len(MAGIC))
    if reader.data[start : reader.at] != MAGIC:
        problem = "it does not begin as one"
        raise BadHeaderError(problem)
    version = reader.number("I")
    if version not in VERSIONS:
        problem = f"it is of version {version}; read are {' and '.join(map(str, VERSIONS))}"
        raise BadHeaderError(problem)
    count, values = reader.number("Q"), reader.number("Q")
    limits.check_count(count)
    if values > MOST_VALUES:
        problem = f"it has {values} values; the limit is {MOST_VALUES}"
        raise BadHeaderError(problem)
    said = _values(reader, values, limits)
    renamed = _names(said)
    described = [_described(reader, limits) for _ in range(count)]
    alignment = said.get(ALIGNMENT, 32)
    if type(alignment) is not int or not 0 < alignment <= 2**16 or alignment % 8:
        problem = f"its data are aligned to {alignment!r:.20} bytes"
        raise BadHeaderError(problem)
    data = -(-reader.at // alignment) * alignment
    entries: dict[str, Entry] = {}
    places: dict[str, GgufTensor] = {}
    for name, shape, kind, offset in described:
        entry, stored = _entry(name, shape, kind, said.get(ORIGINAL + name))
        limits.check_shape(name, entry.shape)
        if offset % alignment:
            problem = f"tensor {name!r} starts at byte {offset}, which is not aligned"
            raise BadHeaderError(problem)
        end = data + offset + stored
        if end > size:
            problem = f"it is cut short: tensor {name!r} ends at byte {end} of {size}"
            raise BadHeaderError(problem)
        ours = renamed(name)
        if ours in entries:
            problem = f"it has the tensor {ours!r} twice"
            raise BadHeaderError(problem)
        entries[ours], places[ours] = entry, GgufTensor(data + offset, stored)
    _check_apart(places)
    return entries, {name: text for name, text in said.items() if isinstance(text, str)}, places


def _values(reader: _Reader, count: int, limits: HeaderLimits) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for _ in range(count):
        name = reader.text(limits.name_chars)
        if name is None:
            problem = f"the name of a value is not text of at most {limits.name_chars} bytes"
            raise BadHeaderError(problem)
        keep = name.startswith(("general.", ORIGINAL))
        value = reader.value(reader.number("I"), keep=keep)
        if keep and value is not None:
            said[name] = value
    return said


def _names(said: Mapping[str, Any]) -> Any:
    architecture = said.get(ARCHITECTURE)
    if architecture in OTHER_ORDER:
        problem = f"it is a text encoder of the architecture {architecture!r}, which is not served"
        raise BadHeaderError(problem)
    return RENAMED.get(architecture, str) if isinstance(architecture, str) else str


def _described(reader: _Reader, limits: HeaderLimits) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (the last axis first there), type and offset."""
    name = reader.text(4 * limits.name_chars)
    if name is None:
        problem = "the name of a tensor is not text, or too long"
        raise BadHeaderError(problem)
    limits.check_name(name)
    dims = reader.number("I")
    if dims > limits.dims:
        problem = f"tensor {name!r} has {dims} dimensions; the limit is {limits.dims}"
        raise BadHeaderError(problem)
    shape = tuple(reader.number("Q") for _ in range(dims))[::-1]
    limits.check_shape(name, shape)
    return name, shape, reader.number("I"), reader.number("Q")


def _entry(name: str, shape: tuple[int, ...], kind: int, original: Any) -> tuple[Entry, int]:
    """What a tensor is, and its bytes in the file."""
    numbers = math.prod(shape)
    whole = _original(name, numbers, original) or shape
    if kind in DTYPES:
        dtype, item = DTYPES[kind]
        return Entry(whole, dtype), numbers * item
    if kind not in BLOCKS:
        problem = f"tensor {name!r} has the type {UNREAD.get(kind, kind)}, which is not read"
        raise BadHeaderError(problem)
    form, block, stored = BLOCKS[kind]
    if not shape or shape[-1] % block or not numbers:
        problem = f"tensor {name!r} of {shape} is not made of {form} blocks of {block}"
        raise BadHeaderError(problem)
    size = numbers // block * stored
    return Entry(whole, form, Packing(form, size)), size


def _original(name: str, numbers: int, original: Any) -> tuple[int, ...] | None:
    if original is None:
        return None
    sides = isinstance(original, tuple) and all(type(side) is int and side > 0 for side in original)
    if not sides or math.prod(original) != numbers:
        problem = f"tensor {name!r} has {numbers} numbers, and said to be {original!r:.40}"
        raise BadHeaderError(problem)
    return tuple(original)


def _check_apart(places: Mapping[str, GgufTensor]) -> None:
    reached = 0
    for name, place in sorted(places.items(), key=lambda item: (item[1].start, item[1].size)):
        if place.start < reached:
            problem = f"tensor {name!r} overlaps the one before it"
            raise BadHeaderError(problem)
        reached = place.start + place.size
