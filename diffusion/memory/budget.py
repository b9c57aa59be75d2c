"""The weight memory of one replica: a cache of loaded models, and who may load next."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from diffusion.memory.admission import Admission
from diffusion.memory.cache import ModelCache, leased
from graph.errors import ServiceError
from graph.values import ModelFile

TIMES = 2  # a model of so many times the budget is not loaded


@dataclass(eq=False)
class ModelTooLargeError(ServiceError):
    """A model that would fill the memory of the machine, not only the budget."""

    status = 422
    code = "model_too_large"
    template = (
        "Model file {model} takes {needed_bytes} bytes in memory. Models of {limit_bytes} bytes "
        "and more are refused, twice the budget (memory_bytes)."
    )
    model: str
    needed_bytes: int
    limit_bytes: int


class MemoryBudget:
    """Weights of one budget, of one or several stages. For one event loop.

    What is in use by turns stays within the budget together, loads under way included. Leases
    that are taken within a turn, of what lies beside its model, come on top. A model that alone is
    larger is used alone, but none of `limit_bytes`, twice the budget unless that is given.
    """

    def __init__(self, budget_bytes: int, limit_bytes: int | None = None) -> None:
        self.weights: ModelCache[Hashable, Any] = ModelCache(budget_bytes, lambda value: value.size)
        self._limit = TIMES * budget_bytes if limit_bytes is None else limit_bytes
        self._admission = Admission(budget_bytes)
        self._sizes: dict[Hashable, int] = {}  # as far as they are known

    @asynccontextmanager
    async def turn(
        self, key: Hashable, measure: Callable[[], int], files: Sequence[ModelFile]
    ) -> AsyncIterator[int]:
        """MemoryBudget for `key` while the block lasts, once those that came before had theirs.

        Gives what it is expected to take in bytes, which `measure` tells the first time, by the
        headers of its `files`. Nobody may take a turn within another.

        Raises:
            ModelTooLargeError: it is far larger than the budget.
        """
        if key not in self._sizes:
            self._sizes[key] = await asyncio.to_thread(measure)
        size = self._sizes[key]
        if size >= self._limit:
            names = " and ".join(f"{file.folder}/{file.name}" for file in files)
            raise ModelTooLargeError(names, size, self._limit)
        async with self._admission.admitted(key, size):
            yield size

    @asynccontextmanager
    async def leased(
        self,
        key: Hashable,
        load: Callable[[], Any],
        measure: Callable[[], int],
        file: ModelFile,
    ) -> AsyncIterator[Any]:
        """The value of `key` in its turn."""
        async with (
            self.turn(key, measure, [file]) as size,
            leased(self.weights.lease(key, load, expected_bytes=size)) as value,
        ):
            yield value
