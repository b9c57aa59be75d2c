"""The network of Wan's autoencoders of videos. Parameters have the published files' names.

Convolutions see the frames before, never those after, so a video is taken in parts: what layers
keep of earlier frames is in a `Memory`. The first frame is a part of its own and is not halved in
time. (Wan Team 2025, "Wan: Open and Advanced Large-Scale Video Generative Models", 4.1)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Memory: TypeAlias = dict[nn.Module, Tensor]  # what layers keep of the frames before
SEEN = 3  # frames that a convolution over time sees
RGB, RGBA = 3, 4  # channels of pictures


@dataclass(frozen=True)
class WanVaeShape:
    """An autoencoder of videos, from its finest level to its coarsest."""

    latent_channels: int
    encoder: tuple[int, ...]  # widths
    decoder: tuple[int, ...]
    layers: int  # residual layers per level of the encoder
    halves_time: tuple[bool, ...]  # behind each level but the last
    nested: bool  # Wan 2.2's: levels are modules of their own, with a way past them
    patch: int = 1  # pixels along a side that are channels of one
    encoded: int = RGB  # channels of the pictures that it takes
    decoded: int = RGB  # and of those that it gives

    @property
    def downscale(self) -> int:
        """Pixels per latent pixel along a side."""
        return int(self.patch * 2 ** len(self.halves_time))

    @property
    def frames(self) -> int:
        """Per latent frame but the first."""
        return int(2 ** sum(self.halves_time))


class CausalConv(nn.Conv3d):
    """A convolution over frames [B, C, T, h, w] that sees none which come later."""

    def __init__(self, into: int, out: int, time: int, side: int) -> None:
        super().__init__(into, out, (time, side, side), padding=(0, side // 2, side // 2))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:  # type: ignore[override]
        before = self.kernel_size[0] - 1
        if before:
            kept = memory.get(self)
            if kept is None:
                kept = x.new_zeros(*x.shape[:2], before, *x.shape[3:])
            x = torch.cat([kept, x], dim=2)
            memory[self] = x[:, :, -before:].clone()
        return super().forward(x)


class Norm(nn.Module):
    """Channel vectors of one length, times a factor for each channel."""

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        unit: Tensor = functional.normalize(x, dim=1) * len(self.gamma) ** 0.5
        return unit * self.gamma


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.residual = nn.ModuleDict(
            {
                "0": Norm(into, 3),
                "2": CausalConv(into, out, SEEN, 3),
                "3": Norm(out, 3),
                "6": CausalConv(out, out, SEEN, 3),
            }
        )
        self.shortcut = None if into == out else CausalConv(into, out, 1, 1)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        h = x
        for norm, conv in (("0", "2"), ("3", "6")):
            h = self.residual[conv](functional.silu(self.residual[norm](h)), memory)
        return h + (x if self.shortcut is None else self.shortcut(x, memory))


class FrameAttention(nn.Module):
    """Attention of the pixels of a frame to each other, in one head, beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels, 2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, _memory: Memory) -> Tensor:
        frames = as_pictures(x)
        tokens = self.to_qkv(self.norm(frames)).flatten(2).transpose(1, 2)[:, None]
        q, k, v = tokens.chunk(3, dim=-1)
        attended = functional.scaled_dot_product_attention(q, k, v)[:, 0]
        answer = self.proj(attended.transpose(1, 2).unflatten(2, frames.shape[-2:]))
        return x + as_frames(answer, x.shape[2])


class Downsample(nn.Module):
    """Half the height and width, and half the frames if wanted."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": nn.Conv2d(channels, channels, 3, stride=2)})
        self.time_conv = (
            nn.Conv3d(channels, channels, (SEEN, 1, 1), stride=(2, 1, 1)) if time else None
        )

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        padded = functional.pad(as_pictures(x), (0, 1, 0, 1))
        x = as_frames(self.resample["1"](padded), x.shape[2])
        if self.time_conv is None:
            return x
        before = memory.get(self)
        memory[self] = x[:, :, -1:].clone()
        if before is None:
            return x
        halved: Tensor = self.time_conv(torch.cat([before, x], dim=2))
        return halved


class Upsample(nn.Module):
    """Twice the height and width, and twice the frames if wanted, but of the first."""

    def __init__(self, channels: int, out: int, *, time: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": nn.Conv2d(channels, out, 3, padding=1)})
        self.time_conv = CausalConv(channels, 2 * channels, SEEN, 1) if time else None

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        if self.time_conv is not None:
            if self in memory:
                pairs = self.time_conv(x, memory).unflatten(1, (2, -1))
                x = pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
            memory[self] = x[:0]  # the first frame is past
        larger = functional.interpolate(as_pictures(x), scale_factor=2.0, mode="nearest-exact")
        return as_frames(self.resample["1"](larger), x.shape[2])


class DownLevel(nn.Module):
    """A level of Wan 2.2's encoder, and the means of its input beside it."""

    def __init__(self, layers: Iterable[nn.Module], out: int, *, time: int, side: int) -> None:
        super().__init__()
        self.downsamples = nn.ModuleList(layers)
        self._out, self._time, self._side = out, time, side

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        past = self._means(x)
        for layer in self.downsamples:
            x = layer(x, memory)
        return x + past

    def _means(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, 0, 0, 0, -x.shape[2] % self._time, 0))
        side = self._side
        parts = x.unflatten(4, (-1, side)).unflatten(3, (-1, side)).unflatten(2, (-1, self._time))
        channels = parts.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)
        means: Tensor = channels.unflatten(1, (self._out, -1)).mean(dim=2)
        return means


class UpLevel(nn.Module):
    """A level of Wan 2.2's decoder, and its input, repeated, beside it."""

    def __init__(self, layers: Iterable[nn.Module], out: int, *, time: int, side: int) -> None:
        super().__init__()
        self.upsamples = nn.ModuleList(layers)
        self._out, self._time, self._side = out, time, side

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        first = self not in memory
        memory[self] = x[:0]
        past = self._repeats(x)[:, :, self._time - 1 if first else 0 :] if self._side > 1 else None
        for layer in self.upsamples:
            x = layer(x, memory)
        return x if past is None else x + past

    def _repeats(self, x: Tensor) -> Tensor:
        factor = self._time * self._side**2
        many = x.repeat_interleave(self._out * factor // x.shape[1], dim=1)
        parts: Tensor = many.unflatten(1, (self._out, self._time, self._side, self._side))
        return parts.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)


class Half(nn.Module):
    """What both halves begin and end with."""

    def __init__(self, into: int, first: int, last: int, out: int, middle: int) -> None:
        super().__init__()
        self.conv1 = CausalConv(into, first, SEEN, 3)
        self.middle = nn.ModuleList(
            [Residual(middle, middle), FrameAttention(middle), Residual(middle, middle)]
        )
        self.head = nn.ModuleDict({"0": Norm(last, 3), "2": CausalConv(last, out, SEEN, 3)})

    def left(self, x: Tensor, memory: Memory) -> Tensor:
        out: Tensor = self.head["2"](functional.silu(self.head["0"](x)), memory)
        return out


def through(layers: Iterable[nn.Module], x: Tensor, memory: Memory) -> Tensor:
    for layer in layers:
        x = layer(x, memory)
    return x


class WanEncoder(Half):
    def __init__(self, shape: WanVaeShape) -> None:
        widths = shape.encoder
        channels = shape.encoded * shape.patch**2
        super().__init__(channels, widths[0], widths[-1], 2 * shape.latent_channels, widths[-1])
        levels: list[nn.Module] = []
        for place, (into, out) in enumerate(pairwise((widths[0], *widths))):
            layers = residuals(into, out, shape.layers)
            last = place == len(widths) - 1
            time = not last and shape.halves_time[place]
            if not last:
                layers.append(Downsample(out, time=time))
            if shape.nested:
                layers = [DownLevel(layers, out, time=1 + time, side=1 + (not last))]
            levels += layers
        self.downsamples = nn.ModuleList(levels)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        x = through(self.downsamples, self.conv1(x, memory), memory)
        return self.left(through(self.middle, x, memory), memory)


class WanDecoder(Half):
    def __init__(self, shape: WanVaeShape) -> None:
        widths = shape.decoder[::-1]
        channels = shape.decoded * shape.patch**2
        super().__init__(shape.latent_channels, widths[0], widths[-1], channels, widths[0])
        doubles = shape.halves_time[::-1]
        levels: list[nn.Module] = []
        into = widths[0]
        for place, out in enumerate(widths):
            layers = residuals(into, out, shape.layers + 1)
            last = place == len(widths) - 1
            time = not last and doubles[place]
            beyond = out if shape.nested else out // 2
            if not last:
                layers.append(Upsample(out, beyond, time=time))
            if shape.nested:
                layers = [UpLevel(layers, out, time=1 + time, side=1 + (not last))]
            levels += layers
            into = beyond
        self.upsamples = nn.ModuleList(levels)

    def forward(self, latent: Tensor, memory: Memory) -> Tensor:
        x = through(self.middle, self.conv1(latent, memory), memory)
        return self.left(through(self.upsamples, x, memory), memory)


class WanAutoencoder(nn.Module):
    """Both halves."""

    def __init__(self, shape: WanVaeShape) -> None:
        super().__init__()
        self._frames, self._patch = shape.frames, shape.patch
        self.encoder = WanEncoder(shape)
        self.decoder = WanDecoder(shape)
        channels = shape.latent_channels
        self.conv1 = nn.Conv3d(2 * channels, 2 * channels, 1)
        self.conv2 = nn.Conv3d(channels, channels, 1)

    def encode(self, x: Tensor) -> Tensor:
        """The likeliest latents [B, C, T, h, w] of `x` [B, 3, frames, H, W] in -1..1.

        Frames after the last whole group are left out.
        """
        memory: Memory = {}
        groups = (x.shape[2] - 1) // self._frames
        parts = x[:, :, : 1 + groups * self._frames].split([1, *[self._frames] * groups], dim=2)
        moments = [self.encoder(packed(part, self._patch), memory) for part in parts]
        mean: Tensor = self.conv1(torch.cat(moments, dim=2)).chunk(2, dim=1)[0]
        return mean

    def decode(self, latent: Tensor) -> Tensor:
        """Frames [B, 3, frames, H, W] around -1..1."""
        memory: Memory = {}
        parts = self.conv2(latent).split(1, dim=2)
        return torch.cat([unpacked(self.decoder(p, memory), self._patch) for p in parts], dim=2)


def residuals(into: int, out: int, count: int) -> list[nn.Module]:
    widths: Sequence[int] = (into, *[out] * count)
    return [Residual(*pair) for pair in pairwise(widths)]


def as_pictures(x: Tensor) -> Tensor:
    """[B, C, T, h, w] -> [B * T, C, h, w]."""
    return x.transpose(1, 2).flatten(0, 1)


def as_frames(x: Tensor, frames: int) -> Tensor:
    """The way back."""
    frames_of: Tensor = x.unflatten(0, (-1, frames))
    return frames_of.transpose(1, 2)


def packed(x: Tensor, patch: int) -> Tensor:
    """Squares of pixels as channels: [B, C, T, H, W] -> [B, C * patch ** 2, T, h, w]."""
    parts: Tensor = x.unflatten(4, (-1, patch)).unflatten(3, (-1, patch))
    return parts.permute(0, 1, 6, 4, 2, 3, 5).flatten(1, 3)


def unpacked(x: Tensor, patch: int) -> Tensor:
    """The way back."""
    parts: Tensor = x.unflatten(1, (-1, patch, patch))
    return parts.permute(0, 1, 4, 5, 3, 6, 2).flatten(5, 6).flatten(3, 4)
