"""Admission to the memory budget: first come, first served, by the model that a job needs."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

BESIDE = 8  # a model larger than the budget bears so small a part of itself beside it


class Admission:
    """Lets jobs in by the model they need, first come, first served. For one event loop.

    Models in use stay within `budget_bytes` together. One that alone is larger is used alone, but
    for what is small beside it: its jobs would else part with it for every autoencoder. A newcomer
    waits behind those that wait, even for a model in use, so nobody waits for ever.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._sizes: dict[Hashable, int] = {}  # of the models in use
        self._users: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[asyncio.Event, tuple[Hashable, int]] = OrderedDict()

    @asynccontextmanager
    async def admitted(self, model: Hashable, size: int) -> AsyncIterator[None]:
        """MemoryBudget for a model of so many bytes, for as long as the block lasts."""
        if self._waiting or not self._fits(model, size):
            await self._turn(model, size)
        else:
            self._enter(model, size)
        try:
            yield
        finally:
            self._leave(model)

    async def _turn(self, model: Hashable, size: int) -> None:
        turn = asyncio.Event()
        self._waiting[turn] = model, size
        try:
            await turn.wait()
        except asyncio.CancelledError:
            if turn.is_set():
                self._leave(model)
            else:
                del self._waiting[turn]
                self._let_in()
            raise

    def _fits(self, model: Hashable, size: int) -> bool:
        if model in self._sizes or not self._sizes:
            return True
        largest = max(self._sizes.values())
        limit = self._budget if largest <= self._budget else largest + largest // BESIDE
        return sum(self._sizes.values()) + size <= limit

    def _enter(self, model: Hashable, size: int) -> None:
        self._users[model] += 1
        self._sizes[model] = size

    def _leave(self, model: Hashable) -> None:
        self._users[model] -= 1
        if not self._users[model]:
            del self._users[model], self._sizes[model]
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            turn, (model, size) = next(iter(self._waiting.items()))
            if not self._fits(model, size):
                return
            del self._waiting[turn]
            self._enter(model, size)
            turn.set()
