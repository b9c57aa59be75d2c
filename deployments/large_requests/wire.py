"""What a router and its process for large requests send each other: pickles, length first.

Both ends are this service's own code. A caller's files stay in the router: the process is given
their names and digests, and what it sends back refers to them. So do node types, which both have.
"""

import io
import pickle
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

from graph.node import NodeType

LENGTH = struct.Struct(">Q")
NODE_TYPES = "node types"


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
    """Reads it where both are."""

    def __init__(
        self, raw: bytes, node_types: Mapping[str, NodeType], content: Callable[[int], bytes]
    ) -> None:
        super().__init__(io.BytesIO(raw))
        self._node_types = node_types
        self._content = content

    def persistent_load(self, pid: Any) -> Any:
        return self._node_types if pid == NODE_TYPES else self._content(pid)


def written(value: Any, node_types: Mapping[str, NodeType]) -> bytes:
    """What was planned, as bytes."""
    file = io.BytesIO()
    Planned(file, node_types).dump(value)
    return file.getvalue()


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
