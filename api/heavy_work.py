"""Runs slow request work in a thread, one piece at a time, fair between owners.

A thread that computes holds the interpreter, so several at once would make everybody wait longer
without getting more done. Those who wait are served in turns: an owner has one piece in the queue.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from graph.errors import ServiceError

SMALL = 20_000  # as `is_small` counts; read, checked and planned in about 10 ms
CHARACTERS = 16  # of a text, that weigh as much as one value

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(eq=False)
class HeavyRequestsError(ServiceError):
    """More large requests of one owner than may wait. Nothing was accepted."""

    status = 429
    code = "too_many_large_requests"
    template = "At most {limit} of your large requests may wait at once; try again in a moment."
    limit: int
    retry_after_s: int


class _Turn(asyncio.Lock):
    """One owner's place in the queue, and how many of its requests want it."""

    wanted = 0


class HeavyWork:
    """Runs functions beside the event loop. Belongs to one event loop."""

    def __init__(self, *, most_waiting: int = 16) -> None:
        """`most_waiting` bounds how many pieces of work one owner may have at once."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="heavy")
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._most_waiting = most_waiting

    async def run(
        self, owner: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `function` returns.

        Raises:
            HeavyRequestsError: too much work of this owner waits already.
        """
        async with self.turn(owner):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))

    @asynccontextmanager
    async def turn(self, owner: str, *, accepted: bool = False) -> AsyncIterator[None]:
        """The time of one piece of an owner's work, wherever it is done.

        Work of a job that was `accepted` always may wait: places bound how many there are.

        Raises:
            HeavyRequestsError: too much work of this owner waits already.
        """
        turn = self._turns.setdefault(owner, _Turn())
        if turn.wanted >= self._most_waiting and not accepted:
            raise HeavyRequestsError(self._most_waiting, 1)
        turn.wanted += 1
        try:
            async with turn:
                yield
        finally:
            turn.wanted -= 1

    def for_request(self, owner: str, *, small: bool) -> "RequestWork":
        """Runs the functions that answer one request; those of a small one at once."""
        return RequestWork(self, owner, small)


@dataclass(frozen=True)
class RequestWork:
    """Where the work for one request is done."""

    heavy: HeavyWork
    owner: str
    small: bool

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns. Raises: HeavyRequestsError, as HeavyWork.run."""
        if self.small:
            return function(*args, **kwargs)
        return await self.heavy.run(self.owner, function, *args, **kwargs)


def is_small(value: object, most: int = SMALL) -> bool:
    """Whether JSON holds few values, a long text counting as several. Looks at `most` at most."""
    weight, waiting = 0, [iter((value,))]
    while waiting:
        for item in waiting[-1]:
            weight += 1
            if isinstance(item, str):
                weight += len(item) // CHARACTERS
            inside = _inside(item)
            if weight > most:
                return False
            if inside is not None:
                waiting.append(iter(inside))
                break
        else:
            waiting.pop()
    return True


def _inside(value: object) -> Iterable[Any] | None:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else None
