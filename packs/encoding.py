"""Values as JSON and buffers: what may travel between a pack's process and the service.

Plain data travels: numbers, texts, lists, tuples, mappings with texts for keys, bytes, tensors.
Anything else has a tag and stays where it is: `handle` is an object in the pack's process,
`service` one of the service, such as a MODEL. Each end has its own tensors and tagged values.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

TAG = "$"
MOST_DEPTH = 64
MOST_DIMENSIONS = 16
MOST_VALUES = 2_000_000
ITEM_BYTES: Mapping[str, int] = {
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "uint8": 1, "int8": 1, "int16": 2,
    "int32": 4, "int64": 8, "bool": 1, "complex64": 8, "complex128": 16,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "uint16": 2, "uint32": 4, "uint64": 8,
}  # fmt: skip


class NotPlainError(Exception):
    """A value that cannot travel."""


class BadValueError(Exception):
    """JSON that stands for no value."""


@dataclass(frozen=True)
class TensorParts:
    """A tensor as it travels: torch's name of its dtype, its shape and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True)
class Tagged:
    """A value that is no plain data: what `tag` says, with `facts` that are plain data."""

    tag: str
    facts: Mapping[str, Any]


ToParts: TypeAlias = Callable[[Any], TensorParts | Tagged | None]
FromParts: TypeAlias = Callable[[TensorParts | Tagged], Any]


@dataclass
class Encoder:
    """Turns values into JSON; their bytes are gathered in `buffers`."""

    to_parts: ToParts  # of what is no plain data; None where it cannot travel
    buffers: list[memoryview] = field(default_factory=list)

    def encode(self, value: Any, depth: int = 0) -> Any:
        """A value as JSON. Raises NotPlainError."""
        if value is None or (isinstance(value, bool | int | float | str) and _is_plain(value)):
            return value
        if depth > MOST_DEPTH:
            raise NotPlainError("a value of too many levels")
        kind = type(value)
        if kind is list:
            return [self.encode(one, depth + 1) for one in value]
        if kind is tuple:
            return {TAG: "tuple", "items": [self.encode(one, depth + 1) for one in value]}
        if kind is bytes:
            return {TAG: "bytes", "at": self._buffer(memoryview(value))}
        parts = self.to_parts(value)
        if isinstance(parts, TensorParts):
            at = self._buffer(parts.data)
            return {TAG: "tensor", "at": at, "dtype": parts.dtype, "shape": list(parts.shape)}
        if isinstance(parts, Tagged):
            facts = {name: self.encode(one, depth + 1) for name, one in parts.facts.items()}
            return {TAG: parts.tag, **facts}
        if isinstance(value, str | int | float):  # a subclass: what is special of it stays here
            return _bare(value)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        raise NotPlainError(f"a value of type {kind.__module__}.{kind.__qualname__}")

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        if type(value) is dict and all(type(name) is str for name in value) and TAG not in value:
            return {name: self.encode(one, depth + 1) for name, one in value.items()}
        if type(value) is not dict:
            raise NotPlainError(f"a value of type {type(value).__qualname__}")
        items = [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in value.items()]
        return {TAG: "dict", "items": items}

    def _buffer(self, data: memoryview) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1


@dataclass
class Decoder:
    """Turns JSON into values; what is wrong with it is said, whoever sent it."""

    buffers: Sequence[memoryview]
    from_parts: FromParts
    _left: int = MOST_VALUES

    def decode(self, said: Any, depth: int = 0) -> Any:
        """The value that JSON stands for. Raises BadValueError."""
        self._left -= 1
        if depth > MOST_DEPTH or self._left < 0:
            raise BadValueError("a value of too many parts")
        if isinstance(said, list):
            return [self.decode(one, depth + 1) for one in said]
        if not isinstance(said, dict):
            return said
        tag = said.get(TAG)
        if tag is None:
            return {name: self.decode(one, depth + 1) for name, one in said.items()}
        if tag == "tuple":
            return tuple(self.decode(one, depth + 1) for one in _list(said))
        if tag == "dict":
            pairs = [self.decode(pair, depth + 1) for pair in _list(said)]
            try:
                return dict(pairs)
            except (TypeError, ValueError) as error:
                raise BadValueError("keys that cannot be keys") from error
        if tag == "bytes":
            return bytes(self._data(said))
        if tag == "tensor":
            return self.from_parts(self._tensor(said))
        if not isinstance(tag, str):
            raise BadValueError("a tag that is no text")
        facts = {name: self.decode(one, depth + 1) for name, one in said.items() if name != TAG}
        return self.from_parts(Tagged(tag, facts))

    def _data(self, said: Mapping[str, Any]) -> memoryview:
        at = said.get("at")
        if not isinstance(at, int) or not 0 <= at < len(self.buffers):
            raise BadValueError("bytes that are not there")
        return self.buffers[at]

    def _tensor(self, said: Mapping[str, Any]) -> TensorParts:
        dtype, shape, data = said.get("dtype"), said.get("shape"), self._data(said)
        if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            raise BadValueError(f"a tensor of type {dtype!r}")
        if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS:
            raise BadValueError("a tensor without a shape")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise BadValueError(f"a tensor of shape {shape!r}")
        if math.prod(shape) * ITEM_BYTES[dtype] != data.nbytes:
            raise BadValueError(f"a tensor of shape {shape!r} in {data.nbytes} bytes")
        return TensorParts(dtype, tuple(shape), data)


def _is_plain(value: Any) -> bool:
    return type(value) in {bool, int, float, str}


def _bare(value: str | float) -> str | float:
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) else float(value)


def _list(said: Mapping[str, Any]) -> list[Any]:
    items = said.get("items")
    if not isinstance(items, list):
        raise BadValueError("items that are no list")
    return items
