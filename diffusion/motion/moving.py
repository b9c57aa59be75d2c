"""Motion modules in one U-Net call: which run, how strongly, and on which frames."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.motion.multivals import extended, over_places
from diffusion.motion.network import FrameBlock, FrameTransformer
from diffusion.motion.windows import frames_of, weights_of
from graph.motion import Windows


@dataclass(frozen=True, eq=False)
class Mask:
    """A number for every place of some frames, [F, H, W]. Equal to itself alone."""

    values: Tensor

    def of(self, frames: tuple[int, ...] | None, count: int) -> "Mask":
        """That of some of a job's frames."""
        whole = extended(self.values, count)
        return Mask(whole if frames is None else whole[list(frames)])


Strength: TypeAlias = float | Mask


@dataclass(frozen=True)
class View:
    """Windows within the frames of a call, at one step."""

    windows: Windows
    step: int
    sigma: float

    def applies(self, frames: int) -> bool:
        length = self.windows.length
        return length < frames or (length == frames and self.windows.on_equal_length)


@dataclass(frozen=True)
class Module:
    """One motion module as some frames go through it."""

    by_place: Mapping[str, FrameTransformer] = field(compare=False)
    identity: int  # of its weights
    scale: Strength
    effect: Strength
    view: View | None = None

    def after(self, place: str, x: Tensor, frames: int, joined_frames: int | None) -> Tensor:
        """`x` [N * frames, C, h, w] behind the module at `place`."""
        module = self.by_place.get(place)
        if module is None or (isinstance(self.effect, float) and math.isclose(self.effect, 0.0)):
            return x
        moved: Tensor = module(x, frames, self._attending(x, frames), joined_frames)
        if isinstance(self.effect, float):
            effect: float | Tensor = self.effect
            if math.isclose(self.effect, 1.0):
                return moved
        else:
            videos = len(x) // frames
            effect = over_places(self.effect.values.to(x), *x.shape[-2:]).repeat(videos, 1, 1, 1)
        return x * (1.0 - effect) + moved * effect

    def _attending(self, x: Tensor, frames: int) -> Callable[[FrameBlock, Tensor], Tensor]:
        scale = self._scale(x, frames)
        view = self.view if self.view is not None and self.view.applies(frames) else None

        def attend(block: FrameBlock, h: Tensor) -> Tensor:
            count = len(block.attention_blocks)
            if view is None:
                return block.attended(h, [scale] * count)
            total, counted = torch.zeros_like(h), torch.zeros_like(h[:, :, :1])
            for own in frames_of(view.windows, frames, view.step):
                places = list(own)
                part = scale[:, places] if isinstance(scale, Tensor) else scale
                weights = weights_of(view.windows, own, frames, view.sigma).to(h)[:, None]
                total[:, places] += block.attended(h[:, places], [part] * count) * weights
                counted[:, places] += weights
            return total / counted

        return attend

    def _scale(self, x: Tensor, frames: int) -> float | Tensor:
        if isinstance(self.scale, float):
            return self.scale
        mask = over_places(self.scale.values.to(x), *x.shape[-2:])  # [F, 1, h, w]
        return mask.flatten(2).permute(2, 0, 1).repeat(len(x) // frames, 1, 1)


@dataclass(frozen=True)
class Moving:
    """The motion modules of a row, of which the first runs first."""

    modules: tuple[Module, ...]
    joins_norms: bool

    def after(self, place: str, x: Tensor, frames: int) -> Tensor:
        """`x` [N * frames, C, h, w] of the layer at `place`, behind what moves there."""
        joined_frames = frames if self.joins_norms else None
        for module in self.modules:
            x = module.after(place, x, frames, joined_frames)
        return x
