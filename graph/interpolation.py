"""Descriptions of frame interpolation: what draws frames, and which."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from graph.values import Link, ModelFile

Precision = Literal["float32", "float16", "bfloat16"]
Way = Literal["rife", "film", "core"]


@dataclass(frozen=True)
class FrameInterpolator:
    """A network that draws frames between others: the file it is in."""

    link: ClassVar = Link("INTERP_MODEL")
    file: ModelFile


@dataclass(frozen=True)
class InterpolationStates:
    """Frames behind which nothing is drawn, or the only ones behind which something is."""

    link: ClassVar = Link("INTERPOLATION_STATES")
    frames: tuple[int, ...]
    is_skip_list: bool

    def skips(self, frame: int) -> bool:
        return (frame in self.frames) == self.is_skip_list


@dataclass(frozen=True)
class Interpolation:
    """How frames are drawn between others.

    `way` is whose rules hold: those of a pack's node for one kind of network, or ComfyUI's own.
    """

    way: Way
    multiplier: int
    states: InterpolationStates | None = None
    scale_factor: float = 1.0  # above 1, flows are estimated in a larger picture
    precision: Precision = "float32"
    refine: bool = False  # of RIFE 4.0
    watch_flow: bool = False  # of RIFE 4.0
    together: int = 1  # frames per call

    def pairs(self, frames: int) -> list[tuple[int, int]]:
        """Of each pair of neighbours its first frame, and how many are drawn behind it.

        The pack's node for FILM leaves out a frame behind which nothing is drawn.
        """
        found = []
        for frame in range(frames - 1):
            skipped = self.states is not None and self.states.skips(frame)
            if not (skipped and self.way == "film"):
                found.append((frame, 0 if skipped else self.multiplier - 1))
        return found

    def count(self, frames: int) -> int:
        """How many frames there are in the end."""
        return sum(1 + drawn for _, drawn in self.pairs(frames)) + 1
