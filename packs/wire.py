"""Messages between a pack's process and the one that started it: JSON, and buffers beside it.

A short message is one packet of a socket. Large buffers lie in a region (regions.py) that messages
use again. What else is long, or has buffers, is a sealed memory file whose descriptor travels: its
reader maps it, and nobody can change or shorten it any more. Nothing is pickled, as one of the two
ends runs code that nobody trusts: it may change the numbers in a tensor of a region until they are
copied from there, and nothing else of a message.
"""

import contextlib
import fcntl
import json
import mmap
import os
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packs.regions import (
    ALIGNMENT,
    SIZE_SEALS,
    Region,
    RegionError,
    Regions,
    TheirRegions,
    aligned,
    nbytes_of,
)

PACKET_BYTES = 64 * 2**10
IN_FILE = b"\0"
HEAD = struct.Struct("<Q")  # how long the JSON is that a memory file begins with
SEALS = SIZE_SEALS | fcntl.F_SEAL_WRITE


class WireError(Exception):
    """The other end sent what cannot be a message."""


@dataclass(frozen=True)
class Message:
    """What was said, and the buffers that it names by their place."""

    said: Mapping[str, Any]
    buffers: tuple[memoryview, ...] = ()


class Channel:
    """One end of a connection. Any thread may send; one receives."""

    def __init__(self, connection: socket.socket, most_bytes: int, *, writable: bool) -> None:
        """`writable` buffers may be written by who gets them; nobody else sees that."""
        self._socket = connection
        self._most_bytes = most_bytes
        self._access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
        self._sending = threading.Lock()
        self._regions, self._theirs = Regions(), TheirRegions(self._access)

    def send(self, said: Mapping[str, Any], buffers: Sequence[memoryview] = ()) -> None:
        """Send a message; waits while the other end does not read. Raises OSError."""
        sizes = [one.nbytes for one in buffers]
        region = self._regions.take(nbytes_of(buffers)) if buffers else None
        unused = self._theirs.said()
        try:
            self._send(said, buffers, sizes, region, unused)
        except (ValueError, TypeError, RecursionError, WireError):  # nothing of it was sent
            if region is not None:
                self._regions.give_back([region.number])
            self._theirs.unused.extend(unused)
            raise

    def _send(
        self,
        said: Mapping[str, Any],
        buffers: Sequence[memoryview],
        sizes: Sequence[int],
        region: Region | None,
        unused: Sequence[int],
    ) -> None:
        about: dict[str, Any] = {"unused": unused}
        if region is not None:
            about |= {"region": region.number}
        text = json.dumps([said, sizes, about]).encode()
        if region is not None and len(text) < PACKET_BYTES:
            region.write(buffers)
            new = [] if region.is_known else [region.descriptor]
            with self._sending:
                socket.send_fds(self._socket, [text], new)
            region.is_known = True
            return
        if region is not None:
            self._regions.give_back([region.number])
            text = json.dumps([said, sizes, {"unused": unused}]).encode()
        if not buffers and len(text) < PACKET_BYTES:
            with self._sending:
                self._socket.send(text)
            return
        size = HEAD.size + len(text) + sum(one.nbytes + ALIGNMENT for one in buffers)
        if size > self._most_bytes:
            raise WireError(f"a message of {size} bytes; {self._most_bytes} are allowed")
        descriptor = os.memfd_create("message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            _write(descriptor, [memoryview(HEAD.pack(len(text)) + text), *buffers])
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
            with self._sending:
                socket.send_fds(self._socket, [IN_FILE], [descriptor])
        finally:
            os.close(descriptor)

    def receive(self) -> Message | None:
        """The next message; None when the other end is gone.

        Raises:
            WireError: it is none.
        """
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._socket, PACKET_BYTES, 1)
        except OSError:
            packet, descriptors = b"", []
        try:
            if not packet:
                self._theirs.close()  # by the thread that reads: it alone uses them
                return None
            if packet == IN_FILE and descriptors:
                return self._from_file(descriptors[0])
            return self._from_packet(packet, descriptors)
        except (RegionError, ValueError, TypeError, OSError, RecursionError, struct.error) as error:
            raise WireError(str(error)) from error
        finally:
            for one in descriptors:
                os.close(one)

    def close(self) -> None:
        """End the connection; whoever receives is told that the other end is gone."""
        with contextlib.suppress(OSError):  # it is over already
            self._socket.shutdown(socket.SHUT_RDWR)
        with self._sending:
            self._socket.close()
            self._regions.close()

    def _from_packet(self, packet: bytes, descriptors: Sequence[int]) -> Message:
        said, sizes, about = _read(packet)
        self._regions.give_back(about.get("unused") or ())
        if "region" not in about:
            return _message(said, sizes, 0, ())
        if descriptors:
            self._theirs.learn(about["region"], descriptors[0])
        return Message(said, self._theirs.buffers(about["region"], sizes))

    def _from_file(self, descriptor: int) -> Message:
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS != SEALS:
            raise WireError("a memory file that can still be changed")
        size = os.fstat(descriptor).st_size
        if not HEAD.size <= size <= self._most_bytes:
            raise WireError(f"a message of {size} bytes; {self._most_bytes} are allowed")
        whole = memoryview(mmap.mmap(descriptor, size, access=self._access))
        (length,) = HEAD.unpack(whole[: HEAD.size])
        if length > size - HEAD.size:
            raise WireError("a message that ends before its text")
        said, sizes, about = _read(whole[HEAD.size : HEAD.size + length].tobytes())
        self._regions.give_back(about.get("unused") or ())
        return _message(said, sizes, HEAD.size + length, whole)


def _read(text: bytes) -> tuple[Mapping[str, Any], Sequence[int], Mapping[str, Any]]:
    said, sizes, about = json.loads(text)
    if not isinstance(said, dict) or not isinstance(about, dict):
        raise WireError("a message that is no object")
    return said, sizes, about


def _message(
    said: Mapping[str, Any], sizes: Sequence[int], at: int, whole: "memoryview | tuple[()]"
) -> Message:
    buffers: list[memoryview] = []
    for size in sizes:
        start = aligned(at)
        at = start + size
        if size < 0 or at > len(whole) or isinstance(whole, tuple):
            raise WireError("a buffer that is not there")
        buffers.append(whole[start:at])
    return Message(said, tuple(buffers))


def _write(descriptor: int, parts: Sequence[memoryview]) -> None:
    at = 0
    for part in parts:
        at = aligned(at) if at else 0
        rest = part
        while rest.nbytes:
            written = os.pwrite(descriptor, rest, at)
            at, rest = at + written, rest[written:]
    os.ftruncate(descriptor, max(at, 1))
