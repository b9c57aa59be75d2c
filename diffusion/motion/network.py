"""Motion modules: every pixel of a feature map attends to itself in other frames.

Parameters have the names of AnimateDiff's files. (Guo et al. 2023;
ComfyUI-AnimateDiff-Evolved motion_module_ad.py)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.networks.layers import GROUPS, FeedForward, normed

HEADS = 8
EPS = 1e-6
Scales: TypeAlias = Sequence[float | Tensor]  # of keys; a tensor is [N * h * w, F, 1]


@dataclass(frozen=True)
class Layout:
    """The width of each level, and how many modules are in it."""

    down: tuple[tuple[int, int], ...]
    up: tuple[tuple[int, int], ...]
    middle: tuple[int, int] | None
    frames: int
    attentions: int


class Positions(nn.Module):
    """A table of what is added to each frame."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.pe = nn.Parameter(torch.empty(1, frames, width), requires_grad=False)


class FrameAttention(nn.Module):
    """Attention of a pixel to itself in all frames of a window, which are counted from 0."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.pos_encoder = Positions(width, frames)

    def forward(self, x: Tensor, scale: float | Tensor) -> Tensor:
        """`x` [P, F, C]; `scale` is that of the keys."""
        x = x + self.pos_encoder.pe[:, : x.shape[1]]
        keys = self.to_k(x)
        if isinstance(scale, Tensor) or scale != 1.0:
            keys = keys * scale
        q, k, v = (
            tensor.view(*tensor.shape[:2], HEADS, -1).transpose(1, 2)
            for tensor in (self.to_q(x), keys, self.to_v(x))
        )
        attended = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        answer: Tensor = self.to_out[0](attended)
        return answer


class FrameBlock(nn.Module):
    def __init__(self, width: int, frames: int, attentions: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(
            [FrameAttention(width, frames) for _ in range(attentions)]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(attentions)])
        self.ff = FeedForward(width)
        self.ff_norm = nn.LayerNorm(width)

    def attended(self, x: Tensor, scales: Scales) -> Tensor:
        """`x` [P, F, C] behind its attention layers."""
        layers: Iterable[Any] = zip(self.attention_blocks, self.norms, scales, strict=True)
        for attention, norm, scale in layers:
            x = attention(norm(x), scale) + x
        return x

    def forward(self, x: Tensor, attend: Callable[["FrameBlock", Tensor], Tensor]) -> Tensor:
        x = attend(self, x)
        both: Tensor = self.ff(self.ff_norm(x)) + x
        return both


class FrameTransformer(nn.Module):
    """One motion module, beside an identity."""

    def __init__(self, width: int, frames: int, attentions: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps=EPS)
        self.proj_in = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([FrameBlock(width, frames, attentions)])
        self.proj_out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        frames: int,
        attend: Callable[[FrameBlock, Tensor], Tensor],
        joined_frames: int | None = None,
    ) -> Tensor:
        """`x` [N * frames, C, h, w]; `attend` runs the attention of a block over [P, F, C].

        As many frames are normalised together.
        """
        _, channels, height, width = x.shape
        h = normed(self.norm, x, joined_frames).reshape(-1, frames, channels, height * width)
        h = self.proj_in(h.permute(0, 3, 1, 2).reshape(-1, frames, channels))
        for block in self.transformer_blocks:
            h = block(h, attend)
        h = self.proj_out(h).reshape(-1, height * width, frames, channels)
        h = h.permute(0, 2, 3, 1).reshape(-1, channels, height, width)
        both: Tensor = h.contiguous() + x
        return both


class Place(nn.Module):
    def __init__(self, width: int, layout: Layout) -> None:
        super().__init__()
        self.temporal_transformer = FrameTransformer(width, layout.frames, layout.attentions)


class Level(nn.Module):
    def __init__(self, width: int, count: int, layout: Layout) -> None:
        super().__init__()
        self.motion_modules = nn.ModuleList([Place(width, layout) for _ in range(count)])


class MotionNetwork(nn.Module):
    """All motion modules of a file."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList([Level(*level, layout) for level in layout.down])
        self.up_blocks = nn.ModuleList([Level(*level, layout) for level in layout.up])
        self.mid_block = None if layout.middle is None else Level(*layout.middle, layout)

    @property
    def down(self) -> list[FrameTransformer]:
        """The modules going down, in the order in which a U-Net's layers are run."""
        return _modules(self.down_blocks)

    @property
    def middle(self) -> list[FrameTransformer]:
        return [] if self.mid_block is None else _modules([self.mid_block])

    @property
    def up(self) -> list[FrameTransformer]:
        return _modules(self.up_blocks)


def _modules(levels: Iterable[Any]) -> list[FrameTransformer]:
    return [place.temporal_transformer for level in levels for place in level.motion_modules]
