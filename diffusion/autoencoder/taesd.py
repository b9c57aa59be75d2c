"""The tiny autoencoder (TAESD, github.com/madebyollin/taesd): rough but cheap previews.

It comes as two files, an encoder and a decoder. Its own latents are those that models see; on links
ComfyUI passes what a full autoencoder gives, so a scale stands between (comfy/taesd/taesd.py;
nodes.py, VAELoader.load_taesd).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffusion.autoencoder.vae import LoadedVae, VaeKind
from diffusion.networks.filling import copied, fill, size_of
from diffusion.weights import Entry, Weights
from graph.values import ModelFile

ENCODER, DECODER = "taesd_encoder.", "taesd_decoder."
WIDTH = 64  # channels
DOWNSCALE = 8


class LatentScale(NamedTuple):
    """(latent on a link - shift) * factor is the latent that models see."""

    factor: float = 1.0
    shift: float = 0.0


LATENT_SCALES: Mapping[str, LatentScale] = {
    "taesd": LatentScale(0.18215),
    "taesdxl": LatentScale(0.13025),
    "taesd3": LatentScale(1.5305, 0.0609),
    "taef1": LatentScale(0.3611, 0.1159),
}


class Soften(nn.Module):
    """Bounds latents to -3..3."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """Three convolutions beside an identity."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(), nn.ReLU(), _conv(), nn.ReLU(), _conv())

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x)


class TinyAutoencoder(nn.Module):
    """Both halves. Names of tensors are the files'."""

    def __init__(self, latent_channels: int, scale: LatentScale) -> None:
        super().__init__()
        self._scale = scale
        halves = [layer for _ in range(3) for layer in (_conv(stride=2, bias=False), *_blocks(3))]
        self.taesd_encoder = nn.Sequential(
            _conv(3), Block(), *halves, _conv(WIDTH, latent_channels)
        )
        doubles = [
            layer
            for _ in range(3)
            for layer in (*_blocks(3), nn.Upsample(scale_factor=2), _conv(bias=False))
        ]
        self.taesd_decoder = nn.Sequential(
            Soften(), _conv(latent_channels), nn.ReLU(), *doubles, Block(), _conv(WIDTH, 3)
        )

    def encode(self, x: Tensor) -> Tensor:
        """Latents [B, C, h, w] as on links, of `x` [B, 3, H, W] in -1..1."""
        latent: Tensor = self.taesd_encoder((x + 1) / 2)
        return latent / self._scale.factor + self._scale.shift

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] around -1..1."""
        pixels: Tensor = self.taesd_decoder((latent - self._scale.shift) * self._scale.factor)
        return pixels * 2 - 1


def _conv(into: int = WIDTH, out: int = WIDTH, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, padding=1, stride=stride, bias=bias)


def _blocks(count: int) -> list[Block]:
    return [Block() for _ in range(count)]


def _find(weights: Weights) -> Weights | None:
    """A file, or a joined pair of them, that is a tiny autoencoder."""
    mine = f"{DECODER}1.weight" in weights and f"{ENCODER}0.weight" in weights
    return weights if mine else None


def _load(weights: Weights, dtype: torch.dtype, device: torch.device) -> LoadedVae:
    shape = weights.shape(f"{DECODER}1.weight")
    if len(shape) != 4:
        raise weights.bad(problem=f"the tensor for '{DECODER}1.weight' is {shape}, no convolution")
    with torch.device("meta"):
        module = TinyAutoencoder(shape[1], _scale(weights))
    names = [name for name, _ in module.named_parameters() if name in weights]
    fill(module, weights, {name: copied(weights[name], dtype, device) for name in names})
    return LoadedVae(module, shape[1], DOWNSCALE, dtype, device, size_of(module))


def _scale(weights: Weights) -> LatentScale:
    """By the name it was asked for under; a file of both halves may say it itself."""
    known = LATENT_SCALES.get(weights.file.name, LatentScale())
    numbers = [
        weights[key].float().flatten()[0].item() if key in weights else default
        for key, default in zip(("vae_scale", "vae_shift"), known, strict=True)
    ]
    return LatentScale(*numbers)


def joined(file: ModelFile, parts: Mapping[str, Weights]) -> Weights:
    """Several files as one, the tensors of each under its prefix."""
    places = {f"{prefix}{key}": (part, key) for prefix, part in parts.items() for key in part}
    entries = {
        name: Entry(part.shape(key), part.dtype(key)) for name, (part, key) in places.items()
    }

    def read(name: str) -> Tensor:
        part, key = places[name]
        return part[key]

    return Weights(file, entries, read)


TINY = VaeKind(_find, _load)
