"""The network of autoencoders: pictures to latents and back. Parameters have diffusers' names.

It is here because importing diffusers' own costs ten seconds, of which a first picture would wait.
(Kingma and Welling 2014; Rombach et al. 2022)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from diffusion.networks.layers import GROUPS, Downsampler, ResnetBlock, Upsampler

EPS = 1e-6
PICTURE_CHANNELS = 3


@dataclass(frozen=True)
class VaeShape:
    """An autoencoder from its finest level to its coarsest."""

    channels: tuple[int, ...]
    layers: int  # residual layers per level of the encoder
    latent_channels: int
    quant: bool  # 1x1 convolutions around the latent
    decoder_channels: tuple[int, ...] = ()  # where they are other than the encoder's

    def config(self) -> dict[str, Any]:
        """Arguments of diffusers' AutoencoderKL, whose tensors have the same names."""
        levels = len(self.channels)
        return {
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            "block_out_channels": self.channels,
            "layers_per_block": self.layers,
            "latent_channels": self.latent_channels,
            "use_quant_conv": self.quant,
            "use_post_quant_conv": self.quant,
        }


class PixelAttention(nn.Module):
    """Attention of all pixels to each other, in one head, beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(GROUPS, channels, eps=EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)
        q, k, v = (project(tokens)[:, None] for project in (self.to_q, self.to_k, self.to_v))
        attended = functional.scaled_dot_product_attention(q, k, v)[:, 0]
        answer: Tensor = self.to_out[0](attended).transpose(1, 2).unflatten(2, x.shape[-2:])
        return x + answer


class Middle(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([PixelAttention(channels)])
        self.resnets = nn.ModuleList([ResnetBlock(channels, channels, eps=EPS) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x)))
        return h


class Level(nn.Module):
    """Residual layers of one resolution, behind which the size changes, unless it is the last."""

    def __init__(self, into: int, out: int, layers: int) -> None:
        super().__init__()
        widths = (into, *[out] * layers)
        self.resnets = nn.ModuleList([ResnetBlock(a, b, eps=EPS) for a, b in pairwise(widths)])
        self.downsamplers = nn.ModuleList()
        self.upsamplers = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.downsamplers, *self.upsamplers):
            x = layer(x)
        return x


class Half(nn.Module):
    """What both halves end with."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv_norm_out = nn.GroupNorm(GROUPS, channels, eps=EPS)
        self.conv_out = nn.Conv2d(channels, out, 3, padding=1)

    def left(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_out(functional.silu(self.conv_norm_out(x)))
        return out


class Encoder(Half):
    def __init__(self, shape: VaeShape) -> None:
        widths = shape.channels
        super().__init__(widths[-1], 2 * shape.latent_channels)
        self.conv_in = nn.Conv2d(PICTURE_CHANNELS, widths[0], 3, padding=1)
        levels = _levels(widths, shape.layers)
        for level, width in zip(levels[:-1], widths, strict=False):
            level.downsamplers.append(Downsampler(width, padding=0))
        self.down_blocks = nn.ModuleList(levels)
        self.mid_block = Middle(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Pictures to means and logarithms of variances."""
        h = self.conv_in(x)
        for block in self.down_blocks:
            h = block(h)
        return self.left(self.mid_block(h))


class Decoder(Half):
    def __init__(self, shape: VaeShape) -> None:
        widths = (shape.decoder_channels or shape.channels)[::-1]
        super().__init__(widths[-1], PICTURE_CHANNELS)
        self.conv_in = nn.Conv2d(shape.latent_channels, widths[0], 3, padding=1)
        self.mid_block = Middle(widths[0])
        levels = _levels(widths, shape.layers + 1)
        for level, width in zip(levels[:-1], widths, strict=False):
            level.upsamplers.append(Upsampler(width))
        self.up_blocks = nn.ModuleList(levels)

    def forward(self, latent: Tensor) -> Tensor:
        h = self.mid_block(self.conv_in(latent))
        for block in self.up_blocks:
            h = block(h)
        return self.left(h)


def _levels(widths: Sequence[int], layers: int) -> list[Level]:
    into = (widths[0], *widths[:-1])
    return [Level(*pair, layers) for pair in zip(into, widths, strict=True)]


class Autoencoder(nn.Module):
    """Both halves."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.quant_conv: nn.Module | None = None
        self.post_quant_conv: nn.Module | None = None
        if shape.quant:
            channels = shape.latent_channels
            self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1)
            self.post_quant_conv = nn.Conv2d(channels, channels, 1)

    def encode(self, x: Tensor) -> Tensor:
        """The likeliest latents [B, C, h, w] of `x` [B, 3, H, W] in -1..1."""
        moments = self.encoder(x)
        moments = moments if self.quant_conv is None else self.quant_conv(moments)
        mean: Tensor = moments.chunk(2, dim=1)[0]
        return mean

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] around -1..1."""
        picture: Tensor = self.decoder(
            latent if self.post_quant_conv is None else self.post_quant_conv(latent)
        )
        return picture
