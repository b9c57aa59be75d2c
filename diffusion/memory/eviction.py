"""Eviction by cost: first goes what is cheapest to load again for its size.

GreedyDual-Size (Cao and Irani 1997, "Cost-Aware WWW Proxy Caching Algorithms"). Where everything
loads at the same speed it is the least recently used; a model that takes long to get, by a slow
disk or because it was compiled, stays for longer.
"""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
LEAST_S = 0.1  # loads that are faster count as so long: their times are chance


class Worths(Generic[K]):
    """How much it is worth to keep each key, as of its last use. For one thread at a time."""

    def __init__(self) -> None:
        self._worths: dict[K, float] = {}
        self._spent = 0.0  # the worth of what went last; so what is not used goes in the end

    def used(self, key: K, load_s: float, size: float) -> None:
        """`key` was used, which took so long to load and is so large."""
        self._worths[key] = self._spent + max(load_s, LEAST_S) / max(size, 1.0)

    def least(self, keys: Iterable[K]) -> K | None:
        """Which of them is to go, the first of equals; None where there are none."""
        return min(keys, key=lambda key: self._worths.get(key, 0.0), default=None)

    def gone(self, key: K, *, for_room: bool = False) -> None:
        """`key` is no longer in memory, perhaps as there was no room for it."""
        worth = self._worths.pop(key, 0.0)
        if for_room:
            self._spent = max(self._spent, worth)
