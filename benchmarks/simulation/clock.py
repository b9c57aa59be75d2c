"""Simulated time: what happens when, and devices whose work slows down when they share it."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

Then: TypeAlias = Callable[[], None]


class Clock:
    """Runs what was planned, in the order of its times; of equal times, the one planned first."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Then]] = []
        self._order = count()

    def at(self, time_s: float, then: Then) -> None:
        heapq.heappush(self._planned, (max(time_s, self.now), next(self._order), then))

    def after(self, seconds: float, then: Then) -> None:
        self.at(self.now + seconds, then)

    def run(self) -> None:
        """Until nothing is planned any more."""
        while self._planned:
            self.now, _, then = heapq.heappop(self._planned)
            then()


@dataclass(eq=False)
class Device:
    """A GPU, or some cores: `lanes` pieces of work at full speed, more of them share these evenly.

    Its own time passes as fast as one piece of work comes on; so a piece that takes `seconds` alone
    ends when that much of it has passed, whatever joins or leaves meanwhile.
    """

    clock: Clock
    lanes: int = 1
    busy_s: float = 0.0  # for how long it had work
    _passed: float = 0.0
    _seen_s: float = 0.0
    _work: list[tuple[float, int, Then]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _planned: int = 0  # which of the planned ends still counts

    def work(self, seconds: float, then: Then) -> None:
        """Call `then` once so much work is done."""
        self._pass()
        heapq.heappush(self._work, (self._passed + seconds, next(self._order), then))
        self._plan()

    @property
    def load(self) -> int:
        """How many pieces of work it has."""
        return len(self._work)

    def _pass(self) -> None:
        elapsed = self.clock.now - self._seen_s
        self._seen_s = self.clock.now
        if self._work:
            self.busy_s += elapsed
            self._passed += elapsed * min(1.0, self.lanes / len(self._work))

    def _plan(self) -> None:
        self._planned += 1
        if not self._work:
            return
        planned = self._planned
        left = max(0.0, self._work[0][0] - self._passed)
        self.clock.after(left / min(1.0, self.lanes / len(self._work)), lambda: self._end(planned))

    def _end(self, planned: int) -> None:
        if planned != self._planned:  # something has joined or left since
            return
        self._pass()
        ends, _, then = heapq.heappop(self._work)
        self._passed = max(self._passed, ends)
        self._plan()
        then()
