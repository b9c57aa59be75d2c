"""Prepared conditions of one job: where, when and with what each prompt applies.

A graph `Condition` says its area in pixels or parts, its mask in picture size and its time in parts
of the schedule. A `Prompt` is the same against one latent batch and one noise schedule.
(ComfyUI comfy/samplers.py, process_conds; comfy/model_base.py, extra_conds.)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from diffusion.batch.controls import Control
from diffusion.batch.grounding import PromptGrounding
from diffusion.batch.hooks import PromptHooks
from graph.errors import ServiceError

FEATHER = 8  # latent pixels over which the edge of an area fades


@dataclass(eq=False)
class AreaOutsideError(ServiceError):
    """A condition's area that begins outside the picture."""

    status = 422
    code = "area_outside_latent"
    template = "The area at x {x}, y {y} is outside a latent of {width} by {height}."
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Box:
    """A rectangle in latent pixels."""

    height: int
    width: int
    y: int
    x: int

    @property
    def size(self) -> int:
        return self.height * self.width

    def crop(self, tensor: Tensor) -> Tensor:
        """The part of [..., h, w] inside this box, as a view."""
        return tensor[..., self.y : self.y + self.height, self.x : self.x + self.width]

    def contains(self, other: "Box") -> bool:
        return (
            other.y >= self.y
            and other.x >= self.x
            and other.y + other.height <= self.y + self.height
            and other.x + other.width <= self.x + self.width
        )

    def within(self, height: int, width: int) -> "Box":
        """This box cut off at the picture's lower and right edge. Raises AreaOutsideError."""
        if self.y >= height or self.x >= width:
            raise AreaOutsideError(self.x, self.y, width, height)
        return replace(
            self, height=min(self.height, height - self.y), width=min(self.width, width - self.x)
        )


@dataclass(frozen=True, eq=False)
class Region:
    """Where, when and how strongly a prompt applies."""

    box: Box | None
    mask: Tensor | None  # [B, h, w]
    strength: float
    mask_strength: float
    first_sigma: float  # applies while first_sigma >= sigma >= last_sigma
    last_sigma: float


@dataclass(frozen=True, eq=False)
class Embedding:
    """What a prompt says to a network, for the whole picture. Families add fields of their own."""

    context: Tensor  # [B or 1, T, D]
    y: Tensor | None = None  # [B or 1, Y], a vector beside the text
    concat: Tensor | None = None  # [B, C, ...], channels beside the latent's own

    @property
    def differs(self) -> bool:
        """Whether it says something else to some latents of a batch than to others."""
        tensors = (value for value in vars(self).values() if isinstance(value, Tensor))
        return any(len(tensor) > 1 for tensor in tensors)

    def cut(self, part: Callable[[Tensor], Tensor]) -> Self:
        """The same for some rows of a batch, which `part` cuts out of a tensor."""
        return replace(
            self,
            context=part(self.context),
            y=None if self.y is None else part(self.y),
            concat=None if self.concat is None else part(self.concat),
        )


@dataclass(frozen=True, eq=False)
class Prompt:
    """One condition, ready: an embedding in a region of one job's latent batch."""

    region: Region
    embedding: Embedding
    shape: torch.Size  # [B, C, h, w] or [B, C, T, h, w], the job's latents
    controls: tuple[Control, ...] = ()
    lends_controls: bool = False
    grounding: PromptGrounding | None = None
    hooks: PromptHooks | None = None
    default: bool = False  # whether it counts where no other prompt beside it does

    @cached_property
    def box(self) -> Box | None:
        """The region's box inside the picture; None is all of it."""
        box = self.region.box
        return None if box is None else box.within(*self.shape[-2:])

    @cached_property
    def concat(self) -> Tensor | None:
        concat = self.embedding.concat
        return concat if self.box is None or concat is None else self.box.crop(concat)

    @cached_property
    def weight(self) -> Tensor | None:
        """How much a prediction counts, [B or 1, 1, h, w] of the box; None is 1 everywhere.

        Of videos [B or 1, 1, 1, h, w], the same for all frames.
        """
        region = self.region
        if region.mask is not None:
            return self._masked(region.mask)
        if self.box is not None:
            return _feathered(self.box, self.shape, self.embedding.context.device) * region.strength
        if region.strength == 1.0:
            return None
        return torch.full((1, 1, 1, 1), region.strength, device=self.embedding.context.device)

    def _masked(self, mask: Tensor) -> Tensor:
        batch = self.shape[0]
        part = mask[:batch] if self.box is None else self.box.crop(mask[:batch])
        weight = part * self.region.mask_strength * self.region.strength
        between = [1] * (len(self.shape) - 3)  # channels, and the frames of a video
        weight = weight.reshape(len(weight), *between, *weight.shape[-2:])
        return weight.repeat(batch // len(weight), *between, 1, 1)

    def applies(self, sigma: float) -> bool:
        return self.region.last_sigma <= sigma <= self.region.first_sigma


def _feathered(box: Box, shape: torch.Size, device: torch.device) -> Tensor:
    """Ones [1, 1, h, w] that fade linearly towards each edge that is not the picture's."""
    y = _fade(box.height, box.y > 0, box.y + box.height < shape[-2], device)
    x = _fade(box.width, box.x > 0, box.x + box.width < shape[-1], device)
    return (y[:, None] * x[None, :])[None, None]


def _fade(length: int, at_start: bool, at_end: bool, device: torch.device) -> Tensor:
    weights = torch.ones(length, device=device)
    width = min(FEATHER, length // 4)
    if width == 0:
        return weights
    ramp = torch.arange(1, width + 1, device=device) * (1.0 / width)
    if at_start:
        weights[:width] *= ramp
    if at_end:
        weights[length - width :] *= ramp.flip(0)
    return weights
