"""How values travel between processes.

A tensor goes as a NumPy array, which Ray maps into the reader's memory without a copy, and which
the router can read without importing torch. A small result travels as bytes beside its message; a
large one stays in the object store, and a reference to it travels.
"""

import asyncio
import pickle
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
import ray
from ray.exceptions import ObjectLostError, OwnerDiedError

from graph.cache import Handle, ResultLostError
from graph.results import Expansion, Outcome

LOST_AFTER_S = 10.0  # a result that is there comes in milliseconds, from another node in seconds
INLINE_BYTES = 64 * 2**10  # below this a round trip to the object store costs more than the copy


@dataclass(frozen=True, eq=False)
class Array:
    """A tensor on its way. `dtype` is torch's name: NumPy has no bfloat16 and no float8."""

    data: np.ndarray[Any, Any]
    dtype: str


@dataclass(frozen=True, eq=False)
class Small:
    """A pickled value that the router passes on unread."""

    data: bytes


def over_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with `change` applied to everything in it that is no container."""
    if isinstance(value, tuple | list):
        return type(value)(over_leaves(item, change) for item in value)
    if isinstance(value, Mapping):
        return {name: over_leaves(item, change) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type | Array):
        parts = {f.name: over_leaves(getattr(value, f.name), change) for f in fields(value)}
        return replace(value, **parts)
    return change(value)


def to_arrays(value: Any) -> Any:
    """Tensors to arrays, on the process that computed them."""
    torch = sys.modules.get("torch")

    def change(leaf: Any) -> Any:
        if torch is None or not isinstance(leaf, torch.Tensor):
            return leaf
        tensor = leaf.detach().cpu().contiguous()
        dtype = str(tensor.dtype).removeprefix("torch.")
        if not hasattr(np, dtype):
            tensor = tensor.view(torch.uint8)
        return Array(tensor.numpy(), dtype)

    return over_leaves(value, change)


def to_tensors(value: Any) -> Any:
    """Arrays to tensors, on a process that computes. The copy keeps the object store unwritten."""
    import torch  # noqa: PLC0415 - the router imports this module and never torch

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, Array):
            return leaf
        tensor = torch.from_numpy(leaf.data.copy())
        dtype = getattr(torch, leaf.dtype)
        return tensor if tensor.dtype == dtype else tensor.view(dtype)

    return over_leaves(value, change)


def to_numpy(value: Any) -> Any:
    """Arrays to plain NumPy, in the router."""
    return over_leaves(value, lambda leaf: leaf.data if isinstance(leaf, Array) else leaf)


def nbytes(value: Any) -> int:
    """The size of the arrays and files in a value."""
    total = 0

    def add(leaf: Any) -> None:
        nonlocal total
        if isinstance(leaf, Array):
            total += leaf.data.nbytes
        elif isinstance(leaf, bytes):
            total += len(leaf)

    over_leaves(value, add)
    return total


def stored_calls(calls: tuple[Outcome, ...], store: Callable[[Any], Handle]) -> tuple[Outcome, ...]:
    """What the calls of a node that expanded gave, with Handles for tensors."""

    def stored(value: Any) -> Any:
        return store(value) if nbytes(to_arrays(value)) else value

    def of_call(call: Outcome) -> Outcome:
        if not isinstance(call, Expansion):
            return tuple(map(stored, call))
        nodes = {
            node_id: replace(node, inputs={n: stored(v) for n, v in node.inputs.items()})
            for node_id, node in call.nodes.items()
        }
        return replace(call, nodes=nodes, outputs=tuple(map(stored, call.outputs)))

    return tuple(map(of_call, calls))


class Shelf:
    """Where a replica puts its outputs. Used from several threads.

    Ray frees an object when nobody is known to hold it, and a reference on its way in a stream is
    not known yet. So the replica itself holds what it put last, up to `budget_bytes`.
    """

    def __init__(self, budget_bytes: int = 256 * 2**20) -> None:
        self._budget_bytes = budget_bytes
        self._held: deque[Handle] = deque()
        self._nbytes = 0
        self._lock = Lock()

    def store(self, value: Any) -> Handle:
        """Put one output where others can get it."""
        arrays = to_arrays(value)
        size = nbytes(arrays)
        if size <= INLINE_BYTES:
            return Handle(Small(pickle.dumps(arrays, protocol=5)), size)
        handle = Handle(ray.put(arrays), size)
        with self._lock:
            self._held.append(handle)
            self._nbytes += size
            while self._nbytes > self._budget_bytes and len(self._held) > 1:
                self._nbytes -= self._held.popleft().nbytes
        return handle


async def load(handle: Handle, unpack: Callable[[Any], Any]) -> Any:
    """Get what a Shelf stored.

    Raises:
        ResultLostError: it went down with the process that computed it, or does not come.
    """
    if isinstance(handle.value, Small):
        return unpack(pickle.loads(handle.value.data))
    if not isinstance(handle.value, ray.ObjectRef):
        return unpack(handle.value)
    try:
        async with asyncio.timeout(LOST_AFTER_S):
            value = await handle.value
    except (ObjectLostError, OwnerDiedError, TimeoutError) as error:
        raise ResultLostError(str(handle.value)) from error
    return unpack(value)
