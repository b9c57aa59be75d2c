"""Messages between a router and its large-request process: pickles with a length prefix.

Both ends are this service's own code. A caller's files stay in the router: the process is given
their names and digests, and what it sends back refers to them. So do node types, which both have.
"""

import gc
import io
import pickle
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from graph.node import NodeType

LENGTH = struct.Struct(">Q")
NODE_TYPES = "node types"
PIECE = 5_000  # entries of dicts, lists, objects: a millisecond or two to read


class HeldContent(bytes):
    """Stands for the content of a file that the router holds under `number`."""

    number: int

    @classmethod
    def of(cls, number: int) -> "HeldContent":
        content = cls()
        content.number = number
        return content

    def __reduce__(self) -> tuple[Any, ...]:
        return HeldContent.of, (self.number,)


class Planned(pickle.Pickler):
    """Writes what was planned, without node types and the content of files."""

    def __init__(self, file: io.BytesIO, node_types: Mapping[str, NodeType]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._node_types = node_types

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, HeldContent):
            return value.number
        return NODE_TYPES if value is self._node_types else None


class Unplanned(pickle.Unpickler):
    """Reads it where both are, in pieces: other threads need not wait for all of it."""

    def __init__(
        self, raw: bytes, node_types: Mapping[str, NodeType], content: Callable[[int], bytes]
    ) -> None:
        self._file = io.BytesIO(raw)
        super().__init__(self._file)
        self._nbytes = len(raw)
        self._node_types = node_types
        self._content = content

    def persistent_load(self, pid: Any) -> Any:
        return self._node_types if pid == NODE_TYPES else self._content(pid)

    def load(self) -> Any:
        """What was planned: the last piece, which holds the others."""
        value = None
        collects = gc.isenabled()
        gc.disable()  # it would go through all of it again and again, and stop everybody
        try:
            while self._file.tell() < self._nbytes:
                value = super().load()
        finally:
            if collects:
                gc.enable()
        return value


def written(value: Any, node_types: Mapping[str, NodeType]) -> bytes:
    """What was planned, as bytes."""
    file = io.BytesIO()
    pickler = Planned(file, node_types)
    for piece in pieces(value, node_types):
        pickler.dump(piece)  # what holds it refers to it: a pickler knows what it has written
    pickler.dump(value)
    return file.getvalue()


def pieces(value: Any, left_out: Any) -> Iterator[list[Any]]:
    """All that `value` holds, what is inside before what it is inside of, so much at a time."""
    piece: list[Any] = []
    entries = 0
    for one, count in _containers(value, left_out):
        piece.append(one)
        entries += count + 1
        if entries >= PIECE:
            yield piece
            piece, entries = [], 0


def _containers(value: Any, left_out: Any) -> Iterator[tuple[Any, int]]:
    """Every dict, list, tuple and dataclass of a value once, and how many entries each has."""
    seen = {id(left_out)}
    stack: list[tuple[Any, list[Any] | None]] = [(value, None)]
    while stack:
        one, inside = stack.pop()
        if inside is not None:
            yield one, len(inside)
            continue
        held = _held(one)
        if held and id(one) not in seen:
            seen.add(id(one))
            stack.append((one, held))
            stack += [(each, None) for each in held]


def _held(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return list(getattr(value, "__dict__", {}).values())
    return []


class Channel:
    """One end of the connection. Any thread may send; one receives."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Raises: OSError when the other end is gone."""
        raw = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        with self._sending:
            self._socket.sendall(LENGTH.pack(len(raw)))
            self._socket.sendall(raw)

    def receive(self) -> Any:
        """Raises: EOFError when the other end is gone."""
        (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
        return pickle.loads(self._exactly(length))

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, length: int) -> bytearray:
        received = bytearray(length)
        view, at = memoryview(received), 0
        while at < length:
            try:
                count = self._socket.recv_into(view[at:])
            except OSError as error:
                raise EOFError from error
            if not count:
                raise EOFError
            at += count
        return received
