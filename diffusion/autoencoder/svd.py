"""Stable Video Diffusion's autoencoder: encodes frames one by one, decodes them together.

(Blattmann et al. 2023; ComfyUI comfy/ldm/modules/temporal_ae.py)
"""

from typing import Any

import torch
from torch import Tensor, nn

from diffusion.autoencoder import kl
from diffusion.autoencoder.network import EPS, Autoencoder, VaeShape
from diffusion.autoencoder.vae import LoadedVae, VaeKind
from diffusion.networks.layers import FrameResnet, ResnetBlock
from diffusion.weights import Weights

MARK = "decoder.mid.block_1.mix_factor"


class VideoResnet(ResnetBlock):
    """A residual layer over each frame, and a learned share of one over its neighbours in time."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__(into, out, eps=EPS)
        self.time_stack = FrameResnet(out)
        self.mix_factor = nn.Parameter(torch.empty(1), requires_grad=False)

    def forward(self, x: Tensor, time: Tensor | None = None, _: int | None = None) -> Tensor:
        """`x` [frames, C, h, w], of one video."""
        alone = super().forward(x, time).transpose(0, 1)[None]
        share = torch.sigmoid(self.mix_factor)
        mixed = share * self.time_stack(alone) + (1.0 - share) * alone
        frames: Tensor = mixed[0].transpose(0, 1)
        return frames


class VideoConvolution(nn.Conv2d):
    """A convolution of each frame, and one over its neighbours in time."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__(into, out, 3, padding=1)
        self.time_mix_conv = nn.Conv3d(out, out, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, input: Tensor) -> Tensor:
        """`input` [frames, C, h, w], of one video."""
        mixed = self.time_mix_conv(super().forward(input).transpose(0, 1)[None])
        frames: Tensor = mixed[0].transpose(0, 1)
        return frames


class VideoAutoencoder(Autoencoder):
    """Both halves, of which the decoder sees all frames of a video."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__(shape)
        decoder: Any = self.decoder
        for block in (decoder.mid_block, *decoder.up_blocks):
            for place, layer in enumerate(block.resnets):
                convolution = layer.conv1
                block.resnets[place] = VideoResnet(
                    convolution.in_channels, convolution.out_channels
                )
        last = decoder.conv_out
        decoder.conv_out = VideoConvolution(last.in_channels, last.out_channels)


def _find(weights: Weights) -> Weights | None:
    part = kl.find(weights)
    return part if part is not None and MARK in part else None


def _load(part: Weights, dtype: torch.dtype, device: torch.device) -> LoadedVae:
    return kl.load(part, dtype, device, make=VideoAutoencoder, decodes_together=True)


SVD = VaeKind(_find, _load)
