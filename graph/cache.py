"""Results by content key: equal work is done once, for one owner."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str, str]  # owner, content key
MOST_WARNED = 1000  # keys whose warnings are remembered


class ResultLostError(Exception):
    """A result that was promised or stored cannot be had any more; it has to be computed anew."""


@dataclass(frozen=True, eq=False)
class Handle:
    """One output, or where it lies. `nbytes` is what keeping it costs."""

    value: Any
    nbytes: int = 0


Outputs: TypeAlias = tuple[Handle, ...]


class ResultCache:
    """Results and promises of results, the least recently used going first. For one event loop."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._stored: OrderedDict[Key, Outputs] = OrderedDict()
        self._promised: dict[Key, asyncio.Future[Outputs]] = {}
        self._nbytes = 0
        self._warnings: OrderedDict[Key, tuple[str, ...]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __len__(self) -> int:
        return len(self._stored) + len(self._promised)

    def __contains__(self, key: Key) -> bool:
        return key in self._stored or key in self._promised

    async def get(self, key: Key) -> Outputs:
        """A result that is stored or being computed.

        Raises:
            ResultLostError: the job that was computing it failed, or it was evicted meanwhile.
        """
        if key in self._promised:
            return await asyncio.shield(self._promised[key])
        if key not in self._stored:
            raise ResultLostError(key[1])
        self._stored.move_to_end(key)
        return self._stored[key]

    def promise(self, key: Key) -> bool:
        """Say that the caller computes `key`; False where somebody already does."""
        if key in self:
            return False
        future: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        self._promised[key] = future
        return True

    def keep(self, key: Key, outputs: Outputs) -> None:
        """Store a result, and hand it to those who wait for it."""
        self.forget(key)
        if promised := self._promised.pop(key, None):
            promised.set_result(outputs)
        self._stored[key] = outputs
        self._nbytes += _size(outputs)
        while self._nbytes > self._budget_bytes:
            self.forget(next(iter(self._stored)))

    def warn(self, key: Key, warning: str) -> None:
        """Remember what was said while `key` was computed, for whoever gets it from here."""
        said = self._warnings.pop(key, ())
        self._warnings[key] = said if warning in said else (*said, warning)
        if len(self._warnings) > MOST_WARNED:
            self._warnings.popitem(last=False)

    def warnings(self, key: Key) -> tuple[str, ...]:
        return self._warnings.get(key, ())

    def withdraw(self, key: Key) -> None:
        """Take a promise back; who waits for it gets ResultLostError."""
        if promised := self._promised.pop(key, None):
            promised.set_exception(ResultLostError(key[1]))

    def forget(self, key: Key) -> None:
        """Drop a stored result."""
        if (outputs := self._stored.pop(key, None)) is not None:
            self._nbytes -= _size(outputs)


def _size(outputs: Outputs) -> int:
    return sum(handle.nbytes for handle in outputs)


def _seen(future: "asyncio.Future[Outputs]") -> None:
    """A promise nobody waits for may fail unnoticed."""
    if not future.cancelled():
        future.exception()
