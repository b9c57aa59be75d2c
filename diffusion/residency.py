"""What is kept in memory: values by key, within a budget, least recently used out first."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(eq=False)
class _Seat(Generic[V]):
    """A place for one value: being loaded (no value yet), in use (leases), or idle."""

    bytes: int
    value: V | None = None
    loaded: bool = False
    leases: int = 0
    upon: "_Seat[V] | None" = None  # leased for as long as this seat is there


class Residency(Generic[K, V]):
    """Loaded values, shared by everybody who leases them. Every method is thread-safe.

    Nothing that is leased is ever thrown out. A value that needs more room than the budget is
    loaded all the same once it would be alone. `size` measures a loaded value, in bytes.
    """

    def __init__(self, budget_bytes: int, size: Callable[[V], int]) -> None:
        self._budget = budget_bytes
        self._size = size
        self._seats: OrderedDict[K, _Seat[V]] = OrderedDict()  # least recently used first
        self._changed = Condition()

    @property
    def budget_bytes(self) -> int:
        return self._budget

    @contextmanager
    def lease(self, key: K, load: Callable[[], V], *, needs_bytes: int = 0) -> Iterator[V]:
        """The value of `key`, kept in memory until the block ends; loaded first if it is not there.

        One load per key runs at a time, and others wait for it; different keys load at once.
        `needs_bytes` is what the load is expected to take, where that is known: room is made for
        it beforehand, waiting for leases to end; so a thread that already holds a lease leaves it
        at 0, or it may wait for itself. What `load` raises leaves nothing behind.
        """
        seat = self._take(key, load, needs_bytes)
        try:
            yield seat.value  # type: ignore[misc]
        finally:
            with self._changed:
                seat.leases -= 1
                self._evict()
                self._changed.notify_all()

    @contextmanager
    def lease_upon(
        self, base: K, load_base: Callable[[], V], key: K, lay: Callable[[V], V]
    ) -> Iterator[V]:
        """As `lease`, for a value that `lay` makes of the value of `base` and that shares memory
        with it: the base stays for as long as what was made of it.
        """

        def load() -> V:
            below = self._take(base, load_base, 0)
            with self._changed:
                self._seats[key].upon = below
            assert below.value is not None
            return lay(below.value)

        with self.lease(key, load) as value:
            yield value

    def make_room(self, key: K, needs_bytes: int) -> None:
        """Throw out idle values for one of so many bytes, if that of `key` is not there yet."""
        with self._changed:
            if key not in self._seats:
                self._evict(self._budget - needs_bytes)
                self._changed.notify_all()

    def resident(self) -> tuple[K, ...]:
        """The keys in memory, least recently used first."""
        with self._changed:
            return tuple(key for key, seat in self._seats.items() if seat.loaded)

    def used_bytes(self) -> int:
        """What is in memory or being loaded."""
        with self._changed:
            return self._used()

    def forget(self, select: Callable[[K], bool]) -> None:
        """Drop idle values whose key `select` picks; those in use stay."""
        with self._changed:
            for key in [k for k, seat in self._seats.items() if _idle(seat) and select(k)]:
                self._drop(key)
            self._changed.notify_all()

    def _take(self, key: K, load: Callable[[], V], needs_bytes: int) -> _Seat[V]:
        with self._changed:
            while (seat := self._seats.get(key)) is not None:
                if seat.loaded:
                    seat.leases += 1
                    self._seats.move_to_end(key)
                    return seat
                self._changed.wait()
            seat = self._reserve(key, needs_bytes)
        return self._load(key, seat, load)

    def _reserve(self, key: K, needs_bytes: int) -> _Seat[V]:
        """A seat for a value that this thread will load. Waits until there is room for it."""
        seat: _Seat[V] = _Seat(0)
        self._seats[key] = seat
        try:
            while not self._make_room(needs_bytes):
                self._changed.wait()
        except BaseException:
            del self._seats[key]
            raise
        seat.bytes = needs_bytes
        return seat

    def _load(self, key: K, seat: _Seat[V], load: Callable[[], V]) -> _Seat[V]:
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
            self._seats.move_to_end(key)
            self._evict()
            self._changed.notify_all()
        return seat

    def _make_room(self, needs_bytes: int) -> bool:
        """Throw out idle values for `needs_bytes` more; true if they fit, or nothing is left."""
        self._evict(self._budget - needs_bytes)
        used = self._used()
        return used + needs_bytes <= self._budget or used == 0

    def _evict(self, down_to: int | None = None) -> None:
        limit = self._budget if down_to is None else down_to
        while self._used() > limit:
            idle = next((key for key, seat in self._seats.items() if _idle(seat)), None)
            if idle is None:
                return
            self._drop(idle)

    def _drop(self, key: K) -> None:
        below = self._seats.pop(key).upon
        if below is not None:
            below.leases -= 1

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
