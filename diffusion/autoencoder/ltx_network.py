"""The network of LTX-Video's autoencoders. Parameters have the names of Lightricks' files.

Convolutions over time see the frames before the first as copies of it. The decoder may be told
how noisy the latent is. (ComfyUI comfy/ldm/lightricks/vae/causal_video_autoencoder.py)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.networks.layers import Embedding, sinusoids
from graph.errors import ServiceError

Padding: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]

PICTURE_CHANNELS = 3
WAVES = 256  # that tell a time
EPS = 1e-8
SHORTCUT_EPS = 1e-6
RES, RES_WIDER = "res_x", "res_x_y"  # residual layers, and one that changes the width


@dataclass(eq=False)
class FrameCountError(ServiceError):
    """A video of a length that an autoencoder cannot encode."""

    status = 422
    code = "frame_count"
    template = (
        "This autoencoder encodes videos of 1 + {step} * n frames (1, {step} + 1, ...); "
        "got {received}."
    )
    step: int
    received: int


@dataclass(frozen=True)
class LtxBlock:
    """One block of a half. `kind` is RES, RES_WIDER, or what changes the size."""

    kind: str
    layers: int = 1
    multiplier: int = 1  # of the width, as the block says it
    stride: tuple[int, int, int] = (1, 1, 1)
    residual: bool = False  # beside an identity


@dataclass(frozen=True)
class LtxVaeShape:
    """An autoencoder of LTX-Video. Both lists of blocks go from the finest to the coarsest."""

    encoder: tuple[LtxBlock, ...]
    decoder: tuple[LtxBlock, ...]
    encoder_width: int  # of the finest
    decoder_width: int  # of the finest
    latent_channels: int
    moments: int  # channels that the encoder gives
    patch: int  # pixels along a side, in the channels of the finest level
    causal_decoder: bool
    timed: bool  # the decoder is told how noisy the latent is
    padding: tuple[Padding, Padding]  # around pictures, of encoder and decoder

    @property
    def downscale(self) -> int:
        return self.patch * math.prod(block.stride[1] for block in self.encoder)

    @property
    def frames(self) -> int:
        return math.prod(block.stride[0] for block in self.encoder)


class Convolution(nn.Module):
    """Over frames, rows and columns."""

    def __init__(
        self, into: int, out: int, padding: Padding, stride: tuple[int, int, int] = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(into, out, 3, stride, padding=(0, 1, 1), padding_mode=padding)

    def forward(self, x: Tensor, *, causal: bool = True) -> Tensor:
        first, last = x[:, :, :1], x[:, :, -1:]
        padded = torch.cat([first, first, x] if causal else [first, x, last], dim=2)
        out: Tensor = self.conv(padded)
        return out


class Time(nn.Module):
    """A time, told as a vector."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.timestep_embedder = Embedding(WAVES, out)

    def forward(self, time: Tensor, dtype: torch.dtype) -> Tensor:
        """[N] to [N, D]."""
        time_embedding: Tensor = self.timestep_embedder(sinusoids(time, WAVES).to(dtype))
        return time_embedding


class ResidualLayer(nn.Module):
    """Two convolutions beside an identity; what is told of time scales and shifts their inputs."""

    def __init__(self, into: int, out: int, padding: Padding, *, timed: bool) -> None:
        super().__init__()
        self.conv1 = Convolution(into, out, padding)
        self.conv2 = Convolution(out, out, padding)
        self.scale_shift_table = nn.Parameter(torch.zeros(4, into)) if timed else None
        self.norm3 = Normed(into) if into != out else None
        self.conv_shortcut = nn.Conv3d(into, out, 1) if into != out else None

    def forward(self, x: Tensor, time_embedding: Tensor | None, *, causal: bool) -> Tensor:
        """`told` is [N, 4 C]."""
        shift1, scale1, shift2, scale2 = self._shifts(time_embedding, x)
        h = functional.silu(normed(x) * (1 + scale1) + shift1)
        h = normed(self.conv1(h, causal=causal)) * (1 + scale2) + shift2
        h = self.conv2(functional.silu(h), causal=causal)
        if self.norm3 is not None and self.conv_shortcut is not None:
            x = self.conv_shortcut(self.norm3(x))
        answer: Tensor = x + h
        return answer

    def _shifts(self, time_embedding: Tensor | None, x: Tensor) -> Sequence[Tensor]:
        if self.scale_shift_table is None or time_embedding is None:
            return [x.new_zeros(())] * 4
        return shifted_by(self.scale_shift_table, time_embedding)


class Normed(nn.Module):
    """Channels normed apart for every pixel, learned."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=SHORTCUT_EPS)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        return answer


class ResidualLayers(nn.Module):
    def __init__(self, width: int, layers: int, padding: Padding, *, timed: bool) -> None:
        super().__init__()
        self.time_embedder = Time(4 * width) if timed else None
        self.res_blocks = nn.ModuleList(
            [ResidualLayer(width, width, padding, timed=timed) for _ in range(layers)]
        )

    def forward(self, x: Tensor, time: Tensor | None, *, causal: bool) -> Tensor:
        time_embedding = None
        if self.time_embedder is not None and time is not None:
            time_embedding = self.time_embedder(time, x.dtype)
        for layer in self.res_blocks:
            x = layer(x, time_embedding, causal=causal)
        return x


class Downsampler(nn.Module):
    """Pixels become channels, beside means of the input's."""

    def __init__(self, into: int, out: int, block: LtxBlock, padding: Padding) -> None:
        super().__init__()
        self._stride, self._out = block.stride, out
        self.conv = Convolution(into, out // math.prod(block.stride), padding)

    def forward(self, x: Tensor) -> Tensor:
        if self._stride[0] > 1:
            x = torch.cat([x[:, :, :1], x], dim=2)
        means = packed(x, self._stride).unflatten(1, (self._out, -1)).mean(dim=2)
        answer: Tensor = packed(self.conv(x), self._stride) + means
        return answer


class Upsampler(nn.Module):
    """Channels become pixels, beside copies of the input where it is residual."""

    def __init__(self, into: int, out: int, block: LtxBlock, padding: Padding) -> None:
        super().__init__()
        self._stride, self._residual = block.stride, block.residual
        self._copies = math.prod(block.stride) * out // into
        self.conv = Convolution(into, math.prod(block.stride) * out, padding)

    def forward(self, x: Tensor, _time: Tensor | None, *, causal: bool) -> Tensor:
        late = self._stride[0] - 1  # frames before the first one that are not of the video
        h = unpacked(self.conv(x, causal=causal), self._stride)[:, :, late:]
        if not self._residual:
            return h
        return h + unpacked(x, self._stride).repeat(1, self._copies, 1, 1, 1)[:, :, late:]


class LtxEncoder(nn.Module):
    def __init__(self, shape: LtxVaeShape) -> None:
        super().__init__()
        self._patch, padding = shape.patch, shape.padding[0]
        width = shape.encoder_width
        self.conv_in = Convolution(PICTURE_CHANNELS * shape.patch**2, width, padding)
        self.down_blocks = nn.ModuleList()
        for block in shape.encoder:
            out = width * block.multiplier
            self.down_blocks.append(_layers(block, width, out, padding, timed=False, up=False))
            width = out
        self.conv_out = Convolution(width, shape.moments, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Moments [B, M, T, h, w] of a video [B, 3, frames, H, W]."""
        h = self.conv_in(patched(x, self._patch))
        for block in self.down_blocks:
            h = block(h, None, causal=True) if isinstance(block, RESIDUAL) else block(h)
        moments: Tensor = self.conv_out(functional.silu(normed(h)))
        return moments


class LtxDecoder(nn.Module):
    def __init__(self, shape: LtxVaeShape) -> None:
        super().__init__()
        self._patch, self._causal, padding = shape.patch, shape.causal_decoder, shape.padding[1]
        width = shape.decoder_width * math.prod(block.multiplier for block in shape.decoder)
        self.conv_in = Convolution(shape.latent_channels, width, padding)
        self.up_blocks = nn.ModuleList()
        for block in reversed(shape.decoder):
            out = width // block.multiplier
            self.up_blocks.append(_layers(block, width, out, padding, timed=shape.timed, up=True))
            width = out
        self.conv_out = Convolution(width, PICTURE_CHANNELS * shape.patch**2, padding)
        self.timestep_scale_multiplier: nn.Parameter | None = None
        self.last_time_embedder: Time | None = None
        self.last_scale_shift_table: nn.Parameter | None = None
        if shape.timed:
            self.timestep_scale_multiplier = nn.Parameter(torch.tensor(1000.0))
            self.last_time_embedder = Time(2 * width)
            self.last_scale_shift_table = nn.Parameter(torch.zeros(2, width))

    def forward(self, latent: Tensor, time: float) -> Tensor:
        """A video [B, 3, frames, H, W] of a latent that is noisy as at a `time`."""
        time_embedding = None
        if self.timestep_scale_multiplier is not None:
            time_embedding = (time * self.timestep_scale_multiplier).expand(len(latent))
        h = self.conv_in(latent, causal=self._causal)
        for block in self.up_blocks:
            h = block(h, time_embedding, causal=self._causal)
        h = normed(h)
        if self.last_time_embedder is not None and self.last_scale_shift_table is not None:
            assert time_embedding is not None
            vector = self.last_time_embedder(time_embedding, h.dtype)
            shift, scale = shifted_by(self.last_scale_shift_table, vector)
            h = h * (1 + scale) + shift
        return unpatched(self.conv_out(functional.silu(h), causal=self._causal), self._patch)


def _layers(
    block: LtxBlock, into: int, out: int, padding: Padding, *, timed: bool, up: bool
) -> nn.Module:
    if block.kind == RES:
        return ResidualLayers(into, block.layers, padding, timed=timed)
    if block.kind == RES_WIDER:
        return ResidualLayer(into, out, padding, timed=False)
    if up:
        return Upsampler(into, out, block, padding)
    if block.residual:
        return Downsampler(into, out, block, padding)
    return Convolution(into, out, padding, block.stride)


RESIDUAL = (ResidualLayers, ResidualLayer)


def normed(x: Tensor) -> Tensor:
    """Every pixel's channels, brought to a mean square of 1."""
    return x / (x.square().mean(dim=1, keepdim=True) + EPS).sqrt()


def shifted_by(table: Tensor, time_embedding: Tensor) -> Sequence[Tensor]:
    """[N, C, 1, 1, 1] for each row of the table, `told` [N, rows * C] added."""
    both: Tensor = table[None].to(time_embedding) + time_embedding.unflatten(1, (len(table), -1))
    rows: Sequence[Tensor] = both[..., None, None, None].unbind(1)
    return rows


def packed(x: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """[B, C, T, h, w] with so many frames, rows and columns in the channels."""
    for axis, size in zip((2, 4, 6), stride, strict=True):
        x = x.unflatten(axis, (-1, size))
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


def unpacked(x: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """The way back."""
    x = x.unflatten(1, (-1, *stride)).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def patched(x: Tensor, side: int) -> Tensor:
    """Squares of pixels in the channels, columns before rows."""
    x = x.unflatten(4, (-1, side)).unflatten(3, (-1, side))
    return x.permute(0, 1, 6, 4, 2, 3, 5).flatten(1, 3)


def unpatched(x: Tensor, side: int) -> Tensor:
    """The way back."""
    x = x.unflatten(1, (-1, side, side)).permute(0, 1, 4, 5, 3, 6, 2)
    return x.flatten(5, 6).flatten(3, 4)


class LtxAutoencoder(nn.Module):
    """Both halves, with the statistics by which latents are normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self, shape: LtxVaeShape, time: float) -> None:
        """What it decodes is noisy as at a `time`."""
        super().__init__()
        self._channels, self._frames, self._time = shape.latent_channels, shape.frames, time
        self.encoder = LtxEncoder(shape)
        self.decoder = LtxDecoder(shape)
        self.register_buffer("mean", torch.zeros(shape.latent_channels))
        self.register_buffer("std", torch.ones(shape.latent_channels))

    def encode(self, x: Tensor) -> Tensor:
        """Latents [B, C, T, h, w] of `x` [B, 3, frames, H, W] in -1..1. Raises FrameCountError."""
        if (x.shape[2] - 1) % self._frames:
            raise FrameCountError(self._frames, x.shape[2])
        means = self.encoder(x)[:, : self._channels]
        latent: Tensor = (means - _of_channels(self.mean)) / _of_channels(self.std)
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Videos [B, 3, frames, H, W] around -1..1."""
        scaled = latent * _of_channels(self.std) + _of_channels(self.mean)
        video: Tensor = self.decoder(scaled, self._time)
        return video


def _of_channels(values: Tensor) -> Tensor:
    return values[:, None, None, None]
