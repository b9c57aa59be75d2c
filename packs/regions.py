"""Reusable shared memory for messages: fresh pages cost several times what copying does.

Whoever sends has regions, memory files that can neither grow nor shrink. The other end maps one for
each message, and says when nothing of that message is in use any more.
"""

import fcntl
import mmap
import os
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_BYTES = 2**20  # of a region; smaller messages are cheap
MOST_BYTES = 2**28  # of all regions of one end
MOST_REGIONS = 64
ALIGNMENT = 64
SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
SEAL_FUTURE_WRITE = 0x10  # <linux/fcntl.h>; Python has no name for it before 3.13


class RegionError(Exception):
    """The other end named a region that is none."""


@dataclass
class Region:
    """One memory file, as whoever writes it has it."""

    number: int
    descriptor: int
    bytes: NDArray[np.uint8]
    is_known: bool = False  # to the other end

    def write(self, buffers: Sequence[memoryview]) -> None:
        """Copy buffers in, one after another at aligned places."""
        at = 0
        for one in buffers:
            at = aligned(at)
            np.copyto(self.bytes[at : at + one.nbytes], np.frombuffer(one, np.uint8))
            at += one.nbytes


@dataclass
class Regions:
    """The regions of one end, for what it sends. Thread-safe."""

    _all: list[Region] = field(default_factory=list)
    _idle: set[int] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def take(self, nbytes: int) -> Region | None:
        """A region that nobody uses; None where the message had better go another way."""
        if not LEAST_BYTES <= nbytes <= MOST_BYTES // 4:
            return None
        with self._lock:
            fitting = [self._all[k] for k in self._idle if len(self._all[k].bytes) >= nbytes]
            best = min(fitting, key=lambda region: len(region.bytes), default=None)
            if best is not None and len(best.bytes) <= 4 * nbytes:
                self._idle.remove(best.number)
                return best
            size = 1 << (nbytes - 1).bit_length()
            held = sum(len(region.bytes) for region in self._all)
            if held + size > MOST_BYTES or len(self._all) >= MOST_REGIONS:
                return None
            self._all.append(_made(len(self._all), size))
            return self._all[-1]

    def give_back(self, numbers: Iterable[Any]) -> None:
        """The other end is done with these."""
        with self._lock:
            self._idle.update(n for n in numbers if type(n) is int and 0 <= n < len(self._all))

    def close(self) -> None:
        """Close every file; what is mapped stays until it is not used."""
        with self._lock:
            for region in self._all:
                os.close(region.descriptor)
            self._all.clear()
            self._idle.clear()


def _made(number: int, size: int) -> Region:
    descriptor = os.memfd_create("region", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    mapped = mmap.mmap(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SIZE_SEALS | SEAL_FUTURE_WRITE)
    return Region(number, descriptor, np.frombuffer(mapped, np.uint8))


@dataclass
class TheirRegions:
    """The regions of the other end, for what it sent. One thread reads."""

    access: int  # how they are mapped (mmap.ACCESS_*)
    unused: deque[int] = field(default_factory=deque)  # not said yet
    _known: dict[int, tuple[int, int]] = field(default_factory=dict)  # descriptor and size

    def learn(self, number: Any, descriptor: int) -> None:
        """Keep the descriptor of a region that is used for the first time. Raises RegionError."""
        size = os.fstat(descriptor).st_size
        held = sum(size for _, size in self._known.values())
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        fine = type(number) is int and number not in self._known
        if not fine or held + size > MOST_BYTES or len(self._known) >= MOST_REGIONS:
            raise RegionError(f"a region {number!r} of {size} bytes")
        if seals & SIZE_SEALS != SIZE_SEALS:
            raise RegionError("a region that may shrink")
        self._known[number] = os.dup(descriptor), size

    def buffers(self, number: Any, sizes: Sequence[int]) -> tuple[memoryview, ...]:
        """The buffers in a region; it is unused when all are gone. Raises RegionError."""
        descriptor, size = self._known.get(number, (-1, 0))
        places, at = [], 0
        for one in sizes:
            at = aligned(at)
            places.append((at, at + one))
            at += one
            if one < 0 or at > size:
                raise RegionError("a buffer that is not there")
        mapped = mmap.mmap(descriptor, size, access=self.access)
        weakref.finalize(mapped, self.unused.append, number).atexit = False
        whole = memoryview(mapped)
        return tuple(whole[start:end] for start, end in places)

    def said(self) -> list[int]:
        """The regions that became unused since this was asked for last."""
        return [self.unused.popleft() for _ in range(len(self.unused))]

    def close(self) -> None:
        """Close every file; what is mapped stays until it is not used."""
        for descriptor, _ in self._known.values():
            os.close(descriptor)
        self._known.clear()


def aligned(at: int) -> int:
    return -(-at // ALIGNMENT) * ALIGNMENT


def nbytes_of(buffers: Sequence[memoryview]) -> int:
    """How much room buffers take in a region."""
    return sum(aligned(one.nbytes) for one in buffers)
