"""Values in a pack's process: torch tensors, objects that stay here, and those of the service."""

import os
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from packs.encoding import (
    BadValueError,
    Decoder,
    Encoder,
    NotPlainError,
    Tagged,
    TensorParts,
)
from packs.surface.comfy_execution.graph import ExecutionBlocker
from packs.surface.service_values import ServiceValue, service_value
from packs.surface.videos import VideoOfService

MOST_HANDLES = 4096
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
NO_FILE = "a file name that leads elsewhere"


class HandleLostError(Exception):
    """An object that was to stay in this process, and had to make room."""


@dataclass
class Handles:
    """Objects that stay in this process, by number; the least recently used go first."""

    most: int = MOST_HANDLES
    most_bytes: int = 2**62  # of the whole process: above that, half of them go
    _kept: OrderedDict[int, Any] = field(default_factory=OrderedDict)
    _numbers: Any = field(default_factory=count)
    _lock: Lock = field(default_factory=Lock)

    def keep(self, value: Any) -> int:
        with self._lock:
            number = next(self._numbers)
            self._kept[number] = value
            if len(self._kept) > self.most:
                self._kept.popitem(last=False)
            if _resident_bytes() > self.most_bytes:
                for _ in range(len(self._kept) // 2):
                    self._kept.popitem(last=False)
        return int(number)

    def get(self, number: int) -> Any:
        with self._lock:
            if number not in self._kept:
                raise HandleLostError
            self._kept.move_to_end(number)
            return self._kept[number]


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


@dataclass
class Values:
    """The values of one process as JSON and buffers, and back."""

    handles: Handles = field(default_factory=Handles)

    def encoder(self) -> Encoder:
        return Encoder(to_parts)

    def encode(self, encoder: Encoder, value: Any, kind: str = "") -> Any:
        """A value as JSON; a handle where it cannot travel. `kind` is the type of its socket."""
        before = len(encoder.buffers)
        try:
            return encoder.encode(value)
        except NotPlainError:
            del encoder.buffers[before:]
        label = kind or type(value).__name__
        return {"$": "handle", "id": self.handles.keep(value), "kind": str(label)[:100]}

    def decode(self, said: Any, buffers: Sequence[memoryview], inputs: Path) -> Any:
        """The value that JSON stands for. Files go to `inputs`, and are their names there."""
        return Decoder(buffers, lambda parts: self._from_parts(parts, inputs)).decode(said)

    def _from_parts(self, parts: TensorParts | Tagged, inputs: Path) -> Any:
        if isinstance(parts, TensorParts):
            return tensor_of(parts)
        facts = parts.facts
        if parts.tag == "handle":
            return self.handles.get(facts["id"])
        if parts.tag == "service":
            return service_value(facts["id"], facts["kind"], facts.get("facts") or {})
        if parts.tag == "blocked":
            return ExecutionBlocker(facts["message"])
        if parts.tag == "file":
            return _written(inputs, facts["name"], facts["content"])
        if parts.tag == "video":
            return VideoOfService(facts)
        raise BadValueError(f"a value tagged {parts.tag!r}")


def _written(inputs: Path, name: str, content: bytes) -> str:
    """Put a file of the owner where the pack looks for it."""
    path = (inputs / name).resolve()
    if not path.is_relative_to(inputs.resolve()):
        raise BadValueError(NO_FILE)
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return name


def to_parts(value: Any) -> TensorParts | Tagged | None:
    """What is no plain data and can travel all the same."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized:
            return None
        tensor = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        dtype = str(tensor.dtype).removeprefix("torch.")
        shape = tuple(tensor.shape)
        data = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else torch.empty(0)
        return TensorParts(dtype, shape, memoryview(data.numpy().data).cast("B"))
    if isinstance(value, ServiceValue):
        return Tagged("service", {"id": value.number})
    if isinstance(value, ExecutionBlocker):
        return Tagged("blocked", {"message": None if value.message is None else str(value.message)})
    if isinstance(value, VideoOfService):
        return Tagged("video", value.facts)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and not isinstance(value, str):
        return Tagged("item", {"value": value.item()})
    return None


def tensor_of(parts: TensorParts) -> torch.Tensor:
    """A tensor over its bytes, which belong to nobody else."""
    dtype = getattr(torch, parts.dtype)
    if not parts.data.nbytes:
        return torch.empty(parts.shape, dtype=dtype)
    return torch.frombuffer(parts.data, dtype=dtype).reshape(parts.shape)


def plain(value: Any, most_chars: int = 200_000) -> Any:
    """A copy of what a pack says, in JSON's types alone; what is none of them is its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)[:most_chars]
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return str(value)[:most_chars]
