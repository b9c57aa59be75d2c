"""Thread-safe cache of loaded models within a byte budget."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import Any, Generic, TypeVar, cast

from diffusion.memory.eviction import Worths

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
REMEMBERED = 256  # keys of which it is known how long they took to load


@dataclass(eq=False)
class _Seat(Generic[V]):
    """A place for one value: being loaded (no value yet), in use (leases), or idle."""

    bytes: int
    value: V | None = None
    loaded: bool = False
    leases: int = 0
    upon: Hashable | None = None  # the key of what is leased for as long as this seat is there
    waited_s: float = 0.0  # for that, in loading


class ModelCache(Generic[K, V]):
    """Loaded values, shared by everybody who leases them. Every method is thread-safe.

    Nothing that is leased is ever thrown out, and nothing waits for room: who may load when is for
    others to say (diffusion/memory/budget.py). Of what is idle, that goes first which is cheapest
    to load again for its size (eviction.py). `size` measures a loaded value, in bytes.
    """

    def __init__(self, budget_bytes: int, size: Callable[[V], int]) -> None:
        self._budget = budget_bytes
        self._size = size
        self._seats: OrderedDict[K, _Seat[V]] = OrderedDict()  # least recently used first
        self._took: OrderedDict[K, float] = OrderedDict()  # how long loads took, the last of each
        self._worths: Worths[K] = Worths()
        self._changed = Condition()

    @contextmanager
    def lease(self, key: K, load: Callable[[], V], *, expected_bytes: int = 0) -> Iterator[V]:
        """The value of `key`, kept in memory until the block ends; loaded first if it is not there.

        One load per key runs at a time, and others wait for it; different keys load at once. Idle
        values make room for `expected_bytes` before the load, where that is known, and it counts
        as so large until it has been measured. What `load` raises leaves nothing behind.
        """
        seat = self._take(key, load, expected_bytes)
        try:
            yield seat.value  # type: ignore[misc]
        finally:
            with self._changed:
                seat.leases -= 1
                self._evict()

    @contextmanager
    def lease_upon(
        self,
        base: K,
        load_base: Callable[[], V],
        key: K,
        apply: Callable[[V], V],
        *,
        expected_bytes: int = 0,
    ) -> Iterator[V]:
        """As `lease`, for a value that `lay` makes of the value of `base` and that shares memory
        with it: the base, of `expected_bytes`, stays for as long as what was made of it.
        """

        def load() -> V:
            began = time.monotonic()
            below = self._take(base, load_base, expected_bytes)
            with self._changed:
                seat = self._seats[key]
                seat.upon, seat.waited_s = base, time.monotonic() - began
            assert below.value is not None
            return apply(below.value)

        with self.lease(key, load) as value:
            yield value

    def resident(self) -> tuple[K, ...]:
        """The keys in memory, least recently used first."""
        with self._changed:
            return tuple(key for key, seat in self._seats.items() if seat.loaded)

    def load_seconds(self) -> dict[K, float]:
        """How long the last load of each key took, of those that are or were in memory."""
        with self._changed:
            return dict(self._took)

    def used_bytes(self) -> int:
        """What is in memory or being loaded."""
        with self._changed:
            return self._used()

    def forget(self, select: Callable[[K], bool]) -> None:
        """Drop idle values whose key `select` picks; those in use stay."""
        with self._changed:
            for key in [k for k, seat in self._seats.items() if _idle(seat) and select(k)]:
                self._drop(key)

    def _take(self, key: K, load: Callable[[], V], expected_bytes: int) -> _Seat[V]:
        with self._changed:
            while (seat := self._seats.get(key)) is not None:
                if seat.loaded:
                    seat.leases += 1
                    self._used_now(key, seat)
                    return seat
                self._changed.wait()
            self._evict(self._budget - expected_bytes)
            seat = self._seats[key] = _Seat(expected_bytes)
        return self._load(key, seat, load)

    def _load(self, key: K, seat: _Seat[V], load: Callable[[], V]) -> _Seat[V]:
        began = time.monotonic()
        try:
            value = load()
            size = self._size(value)
        except BaseException:
            with self._changed:
                self._drop(key)
                self._changed.notify_all()
            raise
        with self._changed:
            seat.value, seat.bytes, seat.loaded, seat.leases = value, size, True, 1
            self._took[key] = time.monotonic() - began - seat.waited_s
            self._took.move_to_end(key)
            while len(self._took) > REMEMBERED:
                self._took.popitem(last=False)
            self._used_now(key, seat)
            self._evict()
            self._changed.notify_all()
        return seat

    def _evict(self, down_to: int | None = None) -> None:
        limit = self._budget if down_to is None else down_to
        while self._used() > limit:
            idle = self._worths.least(key for key, seat in self._seats.items() if _idle(seat))
            if idle is None:
                return
            self._drop(idle, for_room=True)

    def _used_now(self, key: K, seat: _Seat[V]) -> None:
        """`key` was used, and with it what it was made of, which also goes where it goes."""
        nbytes = seat.bytes
        if (below := self._below(seat)) is not None:
            self._used_now(*below)
            nbytes += below[1].bytes
        self._seats.move_to_end(key)
        self._worths.used(key, self._took.get(key, 0.0), nbytes)

    def _below(self, seat: _Seat[V]) -> tuple[K, _Seat[V]] | None:
        if seat.upon is None:
            return None
        key = cast(K, seat.upon)
        return key, self._seats[key]

    def _drop(self, key: K, *, for_room: bool = False) -> None:
        self._worths.gone(key, for_room=for_room)
        below = self._below(self._seats.pop(key))
        if below is not None:
            below[1].leases -= 1

    def _used(self) -> int:
        return sum(seat.bytes for seat in self._seats.values())


@asynccontextmanager
async def leased(lease: AbstractContextManager[Any]) -> AsyncIterator[Any]:
    """A lease that may have to load, or to wait for another to load, off the event loop."""
    stack = ExitStack()
    entering = asyncio.ensure_future(asyncio.to_thread(stack.enter_context, lease))
    try:
        value = await asyncio.shield(entering)
    except asyncio.CancelledError:
        entering.add_done_callback(lambda _: stack.close())
        raise
    with stack:
        yield value


def _idle(seat: _Seat[Any]) -> bool:
    return seat.loaded and seat.leases == 0
