"""Which frames of a video are taken: at another rate, without the first, every so many."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

Frame = TypeVar("Frame")


@dataclass(frozen=True)
class FrameChoice:
    """Frames at `rate` (0: as they are), without the first `skip`, and of those each `every`-th.

    As VideoHelperSuite's VHS_LoadVideo chooses them.
    """

    source_fps: float
    rate: float
    skip: int
    every: int

    @property
    def _step_s(self) -> float:
        return 1 / (self.rate or self.source_fps)

    @property
    def loaded_fps(self) -> float:
        """The rate of what is taken."""
        return 1 / (self._step_s * self.every)

    @property
    def start_s(self) -> float:
        """When the first frame that is taken is shown."""
        return self.skip * self._step_s

    def of(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames that are taken, some of them twice where the rate is higher."""
        source_step_s = 1 / self.source_fps
        ahead_s, count = 0.0, 0
        for frame in frames:
            ahead_s += source_step_s
            while ahead_s >= self._step_s - 1e-9:
                ahead_s -= self._step_s
                if count >= self.skip and (count - self.skip) % self.every == 0:
                    yield frame
                count += 1
