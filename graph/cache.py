"""Results by content key: equal work is done once, for one owner.

Each is its latest job's: of the jobs that computed it or were given it, the one that came last.
When that job is deleted it goes, though an earlier one may still be there, which had it already.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str, str]  # owner, content key
MOST_RESULTS = 20_000  # however small they are
MOST_WARNED = 1000  # keys whose warnings are remembered
MOST_LENT = 10_000  # jobs of which is remembered that others took their results


class ResultLostError(Exception):
    """A result that was promised or stored cannot be had any more; it has to be computed anew."""


class PromiseBrokenError(ResultLostError):
    """A result that another job promised, and does not compute after all."""


@dataclass(frozen=True, eq=False)
class Handle:
    """One output, or where it lies. `nbytes` is what keeping it costs."""

    value: Any
    nbytes: int = 0


Outputs: TypeAlias = tuple[Handle, ...]


@dataclass(frozen=True)
class Result:
    """A node's outputs, and the latest job that has them."""

    outputs: Outputs
    job: int

    @property
    def nbytes(self) -> int:
        return sum(handle.nbytes for handle in self.outputs)


@dataclass(frozen=True)
class Said:
    """The warnings about a node, and the latest job that has them."""

    texts: tuple[str, ...]
    job: int


class ResultCache:
    """Results and promises of results, the least recently used going first. For one event loop."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._stored: OrderedDict[Key, Result] = OrderedDict()
        self._promised: dict[Key, asyncio.Future[Outputs]] = {}
        self._nbytes = 0
        self._warnings: OrderedDict[Key, Said] = OrderedDict()
        self._lent: OrderedDict[int, None] = OrderedDict()

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __len__(self) -> int:
        return len(self._stored) + len(self._promised)

    def __contains__(self, key: Key) -> bool:
        return key in self._stored or key in self._promised

    def has(self, key: Key) -> bool:
        """Whether a result is there already, not only promised."""
        return key in self._stored

    async def get(self, key: Key, job: int) -> Outputs:
        """A result that is stored or being computed, for a job.

        Raises:
            ResultLostError: the job that was computing it failed, or it was evicted meanwhile.
        """
        promised = self._promised.get(key)
        outputs = await asyncio.shield(promised) if promised else None
        if (stored := self._stored.get(key)) is not None:
            if stored.job != job:
                self._lend(stored.job)
            self._stored[key] = replace(stored, job=job)
            self._stored.move_to_end(key)
            outputs = stored.outputs
        if outputs is None:
            raise ResultLostError(key[1])
        return outputs

    def lent(self, job: int) -> bool:
        """Whether another job went on from a result of this one."""
        return job in self._lent

    def promise(self, key: Key) -> bool:
        """Say that the caller computes `key`; False where somebody already does."""
        if key in self:
            return False
        future: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        self._promised[key] = future
        return True

    def keep(self, key: Key, outputs: Outputs, job: int) -> None:
        """Store a job's result, and hand it to those who wait for it."""
        self.forget(key)
        if promised := self._promised.pop(key, None):
            promised.set_result(outputs)
        self._stored[key] = result = Result(outputs, job)
        self._nbytes += result.nbytes
        while self._nbytes > self._budget_bytes or len(self._stored) > MOST_RESULTS:
            self.forget(next(iter(self._stored)))

    def warn(self, key: Key, warning: str, job: int) -> None:
        """Remember what was said while a job computed `key`, for whoever gets it from here."""
        said = self._warnings.pop(key, Said((), job)).texts
        self._warnings[key] = Said(said if warning in said else (*said, warning), job)
        if len(self._warnings) > MOST_WARNED:
            self._warnings.popitem(last=False)

    def warnings(self, key: Key, job: int) -> tuple[str, ...]:
        """What is to be told to a job about `key`."""
        if (said := self._warnings.get(key)) is None:
            return ()
        self._warnings[key] = replace(said, job=job)
        return said.texts

    def withdraw(self, key: Key) -> None:
        """Take a promise back; who waits for it gets ResultLostError."""
        if promised := self._promised.pop(key, None):
            promised.set_exception(PromiseBrokenError(key[1]))

    def forget(self, key: Key) -> None:
        """Drop a stored result."""
        if (result := self._stored.pop(key, None)) is not None:
            self._nbytes -= result.nbytes

    def _lend(self, job: int) -> None:
        self._lent[job] = None
        self._lent.move_to_end(job)
        if len(self._lent) > MOST_LENT:
            self._lent.popitem(last=False)

    def jobs(self) -> frozenset[int]:
        """The jobs of which something is stored."""
        results = {result.job for result in self._stored.values()}
        return frozenset(results | {said.job for said in self._warnings.values()})

    def forget_jobs(self, jobs: AbstractSet[int]) -> None:
        """Drop all that is stored of these jobs."""
        for key in [key for key, result in self._stored.items() if result.job in jobs]:
            self.forget(key)
        for key in [key for key, said in self._warnings.items() if said.job in jobs]:
            del self._warnings[key]


def _seen(future: "asyncio.Future[Outputs]") -> None:
    """A promise nobody waits for may fail unnoticed."""
    if not future.cancelled():
        future.exception()
