"""The U-Nets of Stable Diffusion.

Parameters have the names that diffusers gives them; the numbers are diffusers' and ComfyUI's. It is
here because importing diffusers' own costs ten seconds, of which a first picture would wait.
(Ronneberger et al. 2015; Rombach et al. 2022)
"""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.families.family import MotionPlaces
from diffusion.families.sd.attention import Attention, AttentionCall
from diffusion.families.sd.shapes import UnetShape, skip_widths
from diffusion.networks.compiling import Blocks
from diffusion.networks.layers import (
    GROUPS,
    Downsampler,
    Embedding,
    FeedForward,
    ResnetBlock,
    Upsampler,
    normed,
    sinusoids,
)

RESNET_EPS, TRANSFORMER_EPS = 1e-5, 1e-6


class TransformerBlock(nn.Module):
    """Attention of the picture to itself and to the prompt."""

    def __init__(self, width: int, context_dim: int, heads: int, *, crosses: bool = False) -> None:
        """Where it `crosses`, the picture sees the prompt in place of itself."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, context_dim if crosses else None, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, context_dim, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """`x` [B, T, D] with what a prompt's `keys` and `values` [B, T', D] say."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), keys, values)
        answer: Tensor = x + self.ff(self.norm3(x))
        return answer

    def changed(self, x: Tensor, call: AttentionCall) -> Tensor:
        """As `forward`, where `call` changes what attention does."""
        if self.attn1.crosses:
            x = x + self.attn1.to_prompts(self.norm1(x), call)
        else:
            x = x + self.attn1.to_itself(self.norm1(x), call)
        x = x if call.objects is None else call.objects.added(self.attn1.place, x)
        x = x + self.attn2.to_prompts(self.norm2(x), call)
        answer: Tensor = x + self.ff(self.norm3(x))
        return answer


# Rows of a call, and tokens of prompts, may be any number.
UNET_BLOCKS: Blocks = MappingProxyType(
    {ResnetBlock: ((0,), (0,)), TransformerBlock: ((0,), (0, 1), (0, 1))}
)


class Transformer(nn.Module):
    """Transformer blocks over the pixels of a feature map, beside an identity."""

    def __init__(
        self, channels: int, depth: int, heads: int, shape: UnetShape, *, crosses: bool = False
    ) -> None:
        super().__init__()
        self._linear = shape.linear
        self.norm = nn.GroupNorm(GROUPS, channels, eps=TRANSFORMER_EPS)
        self.proj_in = self._projection(channels)
        self.transformer_blocks = nn.ModuleList(
            [
                TransformerBlock(channels, shape.context_dim, heads, crosses=crosses)
                for _ in range(depth)
            ]
        )
        self.proj_out = self._projection(channels)

    def _projection(self, channels: int) -> nn.Module:
        if self._linear:
            return nn.Linear(channels, channels)
        return nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, call: AttentionCall) -> Tensor:
        """`x` [B, C, h, w]."""
        size, h = x.shape[-2:], normed(self.norm, x, call.joined_frames)
        h = self.proj_in(_tokens(h)) if self._linear else _tokens(self.proj_in(h))
        blocks: Iterable[Any] = self.transformer_blocks
        for block in blocks:
            if call.is_changed or block.attn1.crosses:
                h = block.changed(h, call)
            else:
                h = block(h, *call.context[block.attn2.place])
        h = _pixels(self.proj_out(h), size) if self._linear else self.proj_out(_pixels(h, size))
        both: Tensor = h + x
        return both


def _tokens(x: Tensor) -> Tensor:
    """[B, C, h, w] to [B, h * w, C]."""
    return x.movedim(1, -1).flatten(1, 2)


def _pixels(x: Tensor, size: Sequence[int]) -> Tensor:
    """[B, h * w, C] to [B, C, h, w]."""
    height, width = size
    return x.reshape(len(x), height, width, -1).movedim(-1, 1).contiguous()


def residual(block: nn.Module, x: Tensor, time: Tensor, call: AttentionCall) -> Tensor:
    """`x` behind a residual block. What was compiled knows nothing of frames."""
    if call.joined_frames is None:
        h: Tensor = block(x, time)
    else:
        h = block(x, time, call.joined_frames)
    return h


class Layers(nn.Module):
    """Residual layers of one resolution, each with a transformer behind it where there are any."""

    def __init__(
        self,
        place: str,
        into: Sequence[int],
        depths: Sequence[int],
        *,
        level: int,
        shape: UnetShape,
    ) -> None:
        super().__init__()
        self.place = place  # the block's name in its network
        out, heads = shape.levels[level].channels, shape.heads()[level]
        if any(depths):
            self.attentions = nn.ModuleList(
                [
                    Transformer(out, depth, heads, shape, crosses=shape.levels[level].crosses)
                    for depth in depths
                ]
            )
        self.resnets = nn.ModuleList(
            [ResnetBlock(c, out, eps=RESNET_EPS, time_width=time_width(shape)) for c in into]
        )

    def layer(self, index: int, x: Tensor, time: Tensor, call: AttentionCall) -> Tensor:
        h = residual(self.resnets[index], x, time, call)
        if "attentions" in self._modules:
            h = self.attentions[index](h, call)
        return call.moved(f"{self.place}.{index}", h)


class DownBlock(Layers):
    def __init__(self, into: int, level: int, shape: UnetShape) -> None:
        own = shape.levels[level]
        widths = [into, *[own.channels] * (len(own.down) - 1)]
        super().__init__(f"down_blocks.{level}", widths, own.down, level=level, shape=shape)
        self.downsamplers: nn.ModuleList | None = None
        if level < len(shape.levels) - 1:
            self.downsamplers = nn.ModuleList([Downsampler(own.channels)])

    def forward(
        self, x: Tensor, time: Tensor, call: AttentionCall, added: Tensor | None
    ) -> list[Tensor]:
        """What leaves each layer, and the downsampler where there is one.

        A T2I-Adapter's features are `added` behind the last transformer, without any at the end.
        """
        has_attention = "attentions" in self._modules
        left = []
        for index in range(len(self.resnets)):
            x = self.layer(index, x, time, call)
            left.append(x)
        if added is not None and has_attention:
            x = left[-1] = x + added
        for downsampler in self.downsamplers or ():
            x = downsampler(x)
            left.append(x)
        if added is not None and not has_attention:
            left[-1] = x + added
        return left


class MiddleBlock(Layers):
    """A residual layer, and with a transformer another one behind it."""

    def __init__(self, shape: UnetShape) -> None:
        channels, depth = shape.levels[-1].channels, shape.mid or 0
        depths = (depth,) if depth else ()
        into = [channels] * (2 if depth else 1)
        super().__init__("mid_block", into, depths, level=-1, shape=shape)

    def forward(self, x: Tensor, time: Tensor, call: AttentionCall) -> Tensor:
        h = self.layer(0, x, time, call)
        for resnet in self.resnets[1:]:
            h = residual(resnet, h, time, call)
        return h


class UpBlock(Layers):
    def __init__(self, into: int, skips: Sequence[int], level: int, shape: UnetShape) -> None:
        own = shape.levels[level]
        before = [into, *[own.channels] * (len(own.up) - 1)]
        widths = [h + skip for h, skip in zip(before, skips, strict=True)]
        place = f"up_blocks.{len(shape.levels) - 1 - level}"
        super().__init__(place, widths, own.up, level=level, shape=shape)
        self.upsamplers: nn.ModuleList | None = None
        if level > 0:
            self.upsamplers = nn.ModuleList([Upsampler(own.channels)])

    def forward(self, x: Tensor, time: Tensor, call: AttentionCall, skips: list[Tensor]) -> Tensor:
        """Reads its skip connections off the end of `skips`."""
        for index in range(len(self.resnets)):
            x = self.layer(index, torch.cat([x, skips.pop()], dim=1), time, call)
        for upsampler in self.upsamplers or ():
            x = upsampler(x, tuple(skips[-1].shape[-2:]))
        return x


class Labels(nn.Module):
    """A vector for each label, of which one is chosen by ones and zeros [B, labels]."""

    def __init__(self, labels: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(labels, out))

    def forward(self, chosen: Tensor) -> Tensor:
        return chosen @ self.weight


class Encoder(nn.Module):
    """The way down and the middle: what a U-Net and its ControlNets have in common."""

    def __init__(self, shape: UnetShape) -> None:
        super().__init__()
        self.shape = shape
        self.conv_in = nn.Conv2d(shape.in_channels, shape.levels[0].channels, 3, padding=1)
        self.time_embedding = Embedding(shape.levels[0].channels, time_width(shape))
        self.class_embedding: nn.Module | None = None
        if shape.labelled:
            self.class_embedding = Labels(shape.y_dim or 0, time_width(shape))
        elif shape.y_dim is not None:
            self.class_embedding = Embedding(shape.y_dim, time_width(shape))
        into = [shape.levels[0].channels, *(level.channels for level in shape.levels)]
        self.down_blocks = nn.ModuleList(
            [DownBlock(into[level], level, shape) for level in range(len(shape.levels))]
        )

    def embedded(self, t: Tensor, y: Tensor | None, dtype: torch.dtype) -> Tensor:
        """What all layers hear of timesteps [B] and vectors [B, y_dim]."""
        time: Tensor = self.time_embedding(sinusoids(t, self.shape.levels[0].channels).to(dtype))
        return time if self.class_embedding is None else time + self.class_embedding(y)

    def down(
        self, x: Tensor, time: Tensor, call: AttentionCall, added: Sequence[Tensor] = ()
    ) -> list[Tensor]:
        """Every skip connection, finest first; `added` behind as many blocks."""
        skips = [x]
        for index, block in enumerate(self.down_blocks):
            own = added[index] if index < len(added) else None
            skips += block(skips[-1], time, call, own)
        return skips


class Unet(Encoder):
    """Answers with what it was trained to predict."""

    def __init__(self, shape: UnetShape) -> None:
        super().__init__(shape)
        skips, into = skip_widths(shape), shape.levels[-1].channels
        self.up_blocks = nn.ModuleList()
        for level in reversed(range(len(shape.levels))):
            own = [skips.pop() for _ in shape.levels[level].up]
            self.up_blocks.append(UpBlock(into, own, level, shape))
            into = shape.levels[level].channels
        self.mid_block = None if shape.mid is None else MiddleBlock(shape)
        self.conv_norm_out = nn.GroupNorm(GROUPS, into, eps=RESNET_EPS)
        self.conv_out = nn.Conv2d(into, shape.out_channels, 3, padding=1)
        name_attention(self)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        call: AttentionCall,
        y: Tensor | None = None,
        *,
        skips: Sequence[Tensor] = (),
        middle: Tensor | None = None,
        blocks: Sequence[Tensor] = (),
    ) -> Tensor:
        """`x` [B, in_channels, h, w], `t` [B] timesteps, `y` [B, y_dim].

        `skips`, `middle` and `blocks` are what controls add (`diffusion.batch.controls.Residuals`).
        """
        time = self.embedded(t, y, x.dtype)
        left = self.down(self.conv_in(x), time, call, blocks)
        h = left[-1]
        for index, added in enumerate(skips):
            left[index] = left[index] + added
        if self.mid_block is not None:
            h = self.mid_block(h, time, call)
            if len(blocks) > len(self.down_blocks) and blocks[-1].shape == h.shape:
                h = h + blocks[-1]
        h = h if middle is None else h + middle
        for block in self.up_blocks:
            h = block(h, time, call, left)
        h = normed(self.conv_norm_out, h, call.joined_frames)
        answer: Tensor = self.conv_out(functional.silu(h))
        return answer


def motion_places(shape: UnetShape) -> MotionPlaces:
    """Every layer's name and width, in the order in which they are run."""
    levels = list(enumerate(shape.levels))
    down = [
        (f"down_blocks.{n}.{k}", own.channels) for n, own in levels for k in range(len(own.down))
    ]
    middle = [] if shape.mid is None else [("mid_block.0", shape.levels[-1].channels)]
    up = [
        (f"up_blocks.{n}.{k}", own.channels)
        for n, own in enumerate(reversed(shape.levels))
        for k in range(len(own.up))
    ]
    return MotionPlaces(tuple(down), tuple(middle), tuple(up))


def time_width(shape: UnetShape) -> int:
    return 4 * shape.levels[0].channels


def name_attention(network: nn.Module) -> None:
    """Tell every attention layer where in the network it is."""
    for name, module in network.named_modules():
        if isinstance(module, Attention):
            module.place = name
