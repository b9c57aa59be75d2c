"""Guidance for latents that are the frames of a video."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from torch import Tensor

from diffusion.batch.prompts import Prompt
from diffusion.batch.rows import JobImage, RowMotion

Window: TypeAlias = tuple[int, ...]  # the frames that are asked about together


class StepFrames(Protocol):
    """The frames of one job at one step."""

    @property
    def windows(self) -> Sequence[Window] | None:
        """What is asked about by itself; None is all frames at once."""

    def motion(self, window: Window | None) -> RowMotion | None:
        """What lets the frames of a window see each other."""

    def cut(self, x: Tensor, window: Window) -> Tensor:
        """What of a job's latents is in a window."""

    def prompt(self, prompt: Prompt, window: Window) -> Prompt:
        """A job's prompt for the frames of a window."""

    def image(self, image: JobImage, window: Window) -> JobImage:
        """A job's image prompt for the frames of a window."""

    def fused(self, answers: Sequence[tuple[Window, Tensor]], like: Tensor) -> Tensor:
        """What is predicted of all frames, put together from what is of windows."""


class JobFrames(Protocol):
    """The frames of one job, on their way through the schedule."""

    def at(self, sigma: float, step: int) -> StepFrames:
        """How they are asked about at a step, of which sigmas never rise."""
