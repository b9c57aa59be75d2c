"""The memory of one replica for weights: the cache of loaded models, and who may load next."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any

from diffusion.memory.admission import Admission
from diffusion.memory.cache import ModelCache, leased


class MemoryBudget:
    """Weights of one budget, of one or several stages. For one event loop.

    What is in use by turns stays within the budget together, loads under way included. Leases
    that are taken within a turn, of what lies beside its model, come on top.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.weights: ModelCache[Hashable, Any] = ModelCache(budget_bytes, lambda value: value.size)
        self._admission = Admission(budget_bytes)
        self._sizes: dict[Hashable, int] = {}  # as far as they are known

    @asynccontextmanager
    async def turn(self, key: Hashable, measure: Callable[[], int]) -> AsyncIterator[int]:
        """MemoryBudget for `key` while the block lasts, once those that came before had theirs.

        Gives what it is expected to take in bytes, which `measure` tells the first time, by the
        header of its file. Nobody may take a turn within another.
        """
        if key not in self._sizes:
            self._sizes[key] = await asyncio.to_thread(measure)
        size = self._sizes[key]
        async with self._admission.admitted(key, size):
            yield size

    @asynccontextmanager
    async def leased(
        self, key: Hashable, load: Callable[[], Any], measure: Callable[[], int]
    ) -> AsyncIterator[Any]:
        """The value of `key` in its turn."""
        async with (
            self.turn(key, measure) as size,
            leased(self.weights.lease(key, load, expected_bytes=size)) as value,
        ):
            yield value
