"""Squares of pixels, each under a perceptron whose weights the transformer says.

Modules have the names of the models' files. (ComfyUI comfy/ldm/chroma_radiance/layers.py)
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.families.chroma_radiance.shapes import RadianceShape

AT_ONCE = 512  # squares, as their weights are large


class PixelEmbedder(nn.Module):
    """A pixel's colours, and where in its square it lies."""

    def __init__(self, shape: RadianceShape) -> None:
        super().__init__()
        self.waves = shape.waves
        self.embedder = nn.Sequential(nn.Linear(shape.in_channels + shape.waves**2, shape.inner))

    def forward(self, pixels: Tensor) -> Tensor:
        """[N, P * P, C] -> [N, P * P, D]."""
        places = places_in_square(round(pixels.shape[1] ** 0.5), self.waves, pixels.device)
        placed = torch.cat([pixels.float(), places.expand(len(pixels), -1, -1)], dim=-1)
        layer: Any = self.embedder[0]
        embedded = functional.linear(placed, layer.weight.float(), layer.bias.float())
        return embedded.to(pixels.dtype)


def places_in_square(side: int, waves: int, device: torch.device) -> Tensor:
    """[1, side * side, waves * waves]: products of cosines along both sides, quick ones less."""
    along = torch.linspace(0, 1, side, device=device)
    y, x = (each.reshape(-1, 1, 1) for each in torch.meshgrid(along, along, indexing="ij"))
    number = torch.arange(waves, dtype=torch.float32, device=device)
    of_x, of_y = number[None, :, None], number[None, None, :]
    products = torch.cos(x * of_x * torch.pi) * torch.cos(y * of_y * torch.pi)
    return (products / (1 + of_x * of_y)).reshape(1, side**2, waves**2)


class PixelBlock(nn.Module):
    """A gated perceptron over the pixels of a square, of weights made for it."""

    def __init__(self, shape: RadianceShape) -> None:
        super().__init__()
        self.inner, self.hidden = shape.inner, shape.inner * shape.ratio
        self.param_generator = nn.Linear(shape.width, 3 * self.inner * self.hidden)
        self.norm = nn.RMSNorm(shape.inner)

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        """Pixels [N, P * P, D] of squares of which the transformer says [N, W]."""
        gate, value, out = self.param_generator(said).chunk(3, dim=-1)
        gate, value = (
            functional.normalize(each.unflatten(-1, (self.inner, self.hidden)), dim=-2)
            for each in (gate, value)
        )
        out = functional.normalize(out.unflatten(-1, (self.hidden, self.inner)), dim=-2)
        normed = self.norm(x)
        heard = torch.bmm(functional.silu(torch.bmm(normed, gate)) * torch.bmm(normed, value), out)
        answer: Tensor = x + heard
        return answer


class LastLayer(nn.Module):
    """Pixels [N, D, H, W] to colours."""

    def __init__(self, shape: RadianceShape) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(shape.inner)
        if shape.convolved:
            self.conv = nn.Conv2d(shape.inner, shape.in_channels, 3, padding=1)
        else:
            self.linear = nn.Linear(shape.inner, shape.in_channels)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x.movedim(1, -1))
        if hasattr(self, "conv"):
            colors: Tensor = self.conv(normed.movedim(-1, 1))
            return colors
        return self.linear(normed).movedim(-1, 1)  # type: ignore[no-any-return]


def colored(module: Any, sample: Tensor, said: Tensor) -> Tensor:
    """What squares of `sample` [N, C, H, W] become by what is `said` of them [N, T, W]."""
    side = module.shape.patch
    count, channels, height, width = sample.shape
    squares = functional.unfold(sample, side, stride=side).transpose(1, 2)
    pixels = squares.reshape(-1, channels, side**2).transpose(1, 2)
    parts = []
    for own, weights in zip(pixels.split(AT_ONCE), said.flatten(0, 1).split(AT_ONCE), strict=True):
        x = module.nerf_image_embedder(own)
        for block in module.nerf_blocks:
            x = block(x, weights)
        parts.append(x)
    joined = torch.cat(parts).transpose(1, 2).reshape(count, said.shape[1], -1).transpose(1, 2)
    whole = functional.fold(joined, (height, width), side, stride=side)
    last = module.nerf_final_layer_conv if module.shape.convolved else module.nerf_final_layer
    answer: Tensor = last(whole)
    return answer
