"""The U-Net of Stable Video Diffusion: behind every layer, one that sees the other frames.

Layers over one frame have diffusers' names, those over all frames the names in LDM's files.
(Blattmann et al. 2023, "Stable Video Diffusion"; ComfyUI comfy/ldm/modules/attention.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.families.sd.attention import Attention
from diffusion.families.sd.network import RESNET_EPS, TRANSFORMER_EPS, TransformerBlock, time_width
from diffusion.families.sd.shapes import UnetShape, skip_widths
from diffusion.networks.layers import (
    GROUPS,
    Downsampler,
    Embedding,
    FeedForward,
    FrameResnet,
    ResnetBlock,
    Upsampler,
    sinusoids,
)


@dataclass(frozen=True, eq=False)
class Heard:
    """What all layers of a call hear."""

    time: Tensor  # [N * frames, W]
    context: Tensor  # [N * frames, T, D]
    frames: int


class Mixer(nn.Module):
    """A learned share of what is seen in one frame; the rest is of what is in all."""

    def __init__(self) -> None:
        super().__init__()
        self.mix_factor = nn.Parameter(torch.empty(1), requires_grad=False)

    def forward(self, alone: Tensor, together: Tensor) -> Tensor:
        share = torch.sigmoid(self.mix_factor)
        return share * alone + (1.0 - share) * together


class VideoResnet(ResnetBlock):
    """A residual layer over each frame, and one over its neighbours in time."""

    def __init__(self, into: int, out: int, shape: UnetShape) -> None:
        super().__init__(into, out, eps=RESNET_EPS, time_width=time_width(shape))
        self.time_stack = FrameResnet(out, time_width=time_width(shape))
        self.time_mixer = Mixer()

    def over_frames(self, x: Tensor, heard: Heard) -> Tensor:
        """`x` [N * frames, C, h, w]."""
        alone = _videos(self(x, heard.time), heard.frames)
        time = heard.time.reshape(-1, heard.frames, heard.time.shape[-1])
        mixed = self.time_mixer(alone, self.time_stack(alone, time))
        frames: Tensor = mixed.transpose(1, 2).flatten(0, 1)
        return frames


def _videos(x: Tensor, frames: int) -> Tensor:
    """[N * frames, C, h, w] to [N, C, frames, h, w]."""
    return x.reshape(-1, frames, *x.shape[1:]).transpose(1, 2)


class FrameBlock(nn.Module):
    """Attention of each pixel to itself in other frames, and to the picture."""

    def __init__(self, width: int, context_dim: int, heads: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(width)
        self.ff_in = FeedForward(width)
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, None, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, context_dim, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """`x` [P, frames, C], `context` [P, T, D]."""
        x = x + self.ff_in(self.norm_in(x))
        x = x + self.attn1(self.norm1(x))
        keys, values = self.attn2.to_k(context), self.attn2.to_v(context)
        x = x + self.attn2(self.norm2(x), keys, values)
        answer: Tensor = x + self.ff(self.norm3(x))
        return answer


class VideoTransformer(nn.Module):
    """Blocks over the pixels of each frame, each followed by one over the frames of each pixel."""

    def __init__(self, channels: int, depth: int, heads: int, shape: UnetShape) -> None:
        super().__init__()
        self._channels = channels
        self.norm = nn.GroupNorm(GROUPS, channels, eps=TRANSFORMER_EPS)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList(
            [TransformerBlock(channels, shape.context_dim, heads) for _ in range(depth)]
        )
        self.time_stack = nn.ModuleList(
            [FrameBlock(channels, shape.context_dim, heads) for _ in range(depth)]
        )
        self.time_pos_embed = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.SiLU(), nn.Linear(4 * channels, channels)
        )
        self.time_mixer = Mixer()
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, heard: Heard) -> Tensor:
        """`x` [N * frames, C, h, w]."""
        height, width = x.shape[-2:]
        h = self.proj_in(self.norm(x).movedim(1, -1).flatten(1, 2))
        places = torch.arange(heard.frames, device=x.device)
        numbers = self.time_pos_embed(sinusoids(places, self._channels).to(x.dtype))
        numbers = numbers.repeat(len(x) // heard.frames, 1)[:, None]
        first = heard.context[:: heard.frames]  # what is said of a video is said of its first frame
        shared = first[:, None].expand(-1, height * width, -1, -1).flatten(0, 1)
        blocks: Any = zip(self.transformer_blocks, self.time_stack, strict=True)
        for block, over_frames in blocks:
            keys, values = block.attn2.to_k(heard.context), block.attn2.to_v(heard.context)
            h = block(h, keys, values)
            pixels = self._by_pixel(h + numbers, heard.frames)
            h = self.time_mixer(h, self._by_frame(over_frames(pixels, shared), height * width))
        h = self.proj_out(h).reshape(len(x), height, width, -1).movedim(-1, 1)
        both: Tensor = h.contiguous() + x
        return both

    @staticmethod
    def _by_pixel(h: Tensor, frames: int) -> Tensor:
        """[N * frames, P, C] to [N * P, frames, C]."""
        _, pixels, channels = h.shape
        return h.reshape(-1, frames, pixels, channels).transpose(1, 2).flatten(0, 1)

    @staticmethod
    def _by_frame(h: Tensor, pixels: int) -> Tensor:
        _, frames, channels = h.shape
        return h.reshape(-1, pixels, frames, channels).transpose(1, 2).flatten(0, 1)


class Layers(nn.Module):
    """Residual layers of one resolution, each with a transformer behind it where there are any."""

    def __init__(
        self, into: Sequence[int], depths: Sequence[int], level: int, shape: UnetShape
    ) -> None:
        super().__init__()
        out, heads = shape.levels[level].channels, shape.heads()[level]
        self.resnets = nn.ModuleList([VideoResnet(channels, out, shape) for channels in into])
        if any(depths):
            self.attentions = nn.ModuleList(
                [VideoTransformer(out, depth, heads, shape) for depth in depths]
            )
        self.downsamplers = nn.ModuleList()
        self.upsamplers = nn.ModuleList()

    def layer(self, index: int, x: Tensor, heard: Heard) -> Tensor:
        resnet: Any = self.resnets[index]
        h: Tensor = resnet.over_frames(x, heard)
        return self.attentions[index](h, heard) if "attentions" in self._modules else h


class VideoUnet(nn.Module):
    """Answers with what it was trained to predict."""

    def __init__(self, shape: UnetShape) -> None:
        super().__init__()
        self.shape = shape
        levels = shape.levels
        self.conv_in = nn.Conv2d(shape.in_channels, levels[0].channels, 3, padding=1)
        self.time_embedding = Embedding(levels[0].channels, time_width(shape))
        self.class_embedding = Embedding(shape.y_dim or 0, time_width(shape))
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        into = levels[0].channels
        for number, level in enumerate(levels):
            widths = [into, *[level.channels] * (len(level.down) - 1)]
            block = Layers(widths, level.down, number, shape)
            if number < len(levels) - 1:
                block.downsamplers.append(Downsampler(level.channels))
            self.down_blocks.append(block)
            into = level.channels
        self.mid_block = Layers([into, into], (shape.mid or 1,), -1, shape)
        skips = skip_widths(shape)
        for number in reversed(range(len(levels))):
            level = levels[number]
            before = [into, *[level.channels] * (len(level.up) - 1)]
            widths = [width + skips.pop() for width in before]
            block = Layers(widths, level.up, number, shape)
            if number > 0:
                block.upsamplers.append(Upsampler(level.channels))
            self.up_blocks.append(block)
            into = level.channels
        self.conv_norm_out = nn.GroupNorm(GROUPS, into, eps=RESNET_EPS)
        self.conv_out = nn.Conv2d(into, shape.out_channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, y: Tensor, context: Tensor, frames: int) -> Tensor:
        """`x` [N * frames, C, h, w], `t` [N * frames], `y` and `context` for every frame."""
        waves = sinusoids(t, self.shape.levels[0].channels).to(x.dtype)
        heard = Heard(self.time_embedding(waves) + self.class_embedding(y), context, frames)
        skips = [self.conv_in(x)]
        for block in self.down_blocks:
            skips += self._down(block, skips[-1], heard)
        h = self.mid_block.layer(0, skips[-1], heard)
        last: Any = self.mid_block.resnets[1]
        h = last.over_frames(h, heard)
        for block in self.up_blocks:
            h = self._up(block, h, heard, skips)
        answer: Tensor = self.conv_out(functional.silu(self.conv_norm_out(h)))
        return answer

    @staticmethod
    def _down(block: Any, x: Tensor, heard: Heard) -> list[Tensor]:
        left = []
        for index in range(len(block.resnets)):
            x = block.layer(index, x, heard)
            left.append(x)
        for downsampler in block.downsamplers:
            left.append(downsampler(x))
        return left

    @staticmethod
    def _up(block: Any, x: Tensor, heard: Heard, skips: list[Tensor]) -> Tensor:
        for index in range(len(block.resnets)):
            x = block.layer(index, torch.cat([x, skips.pop()], dim=1), heard)
        for upsampler in block.upsamplers:
            x = upsampler(x, tuple(skips[-1].shape[-2:]))
        return x
