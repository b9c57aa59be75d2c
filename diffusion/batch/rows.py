"""The rows that a job asks of its model, and the generators that request them."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from diffusion.batch.noise_levels import NoiseLevels
from diffusion.batch.prompts import Prompt
from graph.values import Change

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Draws:
    """What is drawn for the rows of one question of a job: once for each layer and size.

    Kept until it is answered, so the rows may be asked for in one call or in many.
    """

    generator: torch.Generator
    drawn: dict[tuple[object, ...], Tensor] = field(default_factory=dict)

    def integers(self, key: tuple[object, ...], high: int, shape: tuple[int, ...]) -> Tensor:
        """From 0 until `high`, int64 on the CPU."""
        if key not in self.drawn:
            self.drawn[key] = torch.randint(high, shape, generator=self.generator)
        return self.drawn[key]


class JobImage(Protocol):
    """An image prompt in one job, as the model's family understands it."""

    def applies(self, sigma: float) -> bool:
        """Whether it holds at a noise level."""

    def of_frames(self, frames: tuple[int, ...]) -> "JobImage":
        """The same for some of the job's latents."""


class RowMotion(Protocol):
    """What lets all latents of a row see each other, as frames of a video.

    Rows may share a call where theirs are equal, and they have as many frames.
    """

    @property
    def joins_norms(self) -> bool:
        """Whether the norms of the network go over all frames together."""

    def after(self, place: str, x: Tensor, frames: int) -> Tensor:
        """`x` [N * frames, C, h, w] of the layer at `place`, behind what moves there."""


@dataclass(frozen=True, eq=False)
class RowImage:
    """An image prompt that a row goes by, from which side."""

    image: JobImage
    negative: bool


@dataclass(frozen=True, eq=False)
class Row:
    """One prompt's question about all latents of a job, or about a box in them."""

    x: Tensor  # [B, C, h, w] or [B, C, T, h, w], float32
    sigma: Tensor  # [], float32, on the CPU
    prompt: Prompt
    sampling: NoiseLevels
    patches: tuple[Change, ...] = ()  # how the network is run, where it differs from its weights'
    recorded: list[Tensor] = field(default_factory=list)  # what a patch wrote down on the way
    draws: Draws | None = None  # shared by the rows of one question, where patches draw
    images: tuple[RowImage, ...] = ()  # image prompts that it goes by
    outputs: list[Tensor] | None = None  # where wanted, what the network itself said
    motion: RowMotion | None = None
    weights: tuple[Change, ...] = ()  # what its prompt lays on the model's
    divisible: bool = True  # whether calls may hold some of its latents without the others
    # What the network keeps of its prompt from step to step, where a change asks for it.
    kept: dict[str, Tensor] | None = None


# A generator that yields rows, receives their denoised predictions (in order, each like its x) and
# returns what it made of them.
Asking: TypeAlias = Generator[Sequence[Row], Sequence[Tensor], Result]
