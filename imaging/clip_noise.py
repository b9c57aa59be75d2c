"""Negative noise images for IP-Adapter.

(ComfyUI_IPAdapter_plus IPAdapterPlus.py, IPAdapterNoise)
"""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from graph.choices import PictureNoise
from imaging.clip_pictures import SIDE, cropped
from imaging.filters import blur_channels

SEEDS = 1_000_000_007
REACH = 75.0  # of the distortion, in pixels
SMOOTHNESS = 3.5  # pixels over which it changes, where the strength is 0
MIXED = 0.75  # of the strength, of noise over what is distorted


def noisy_picture(image: Tensor | None, kind: PictureNoise, strength: float, blur: int) -> Tensor:
    """Pictures [B, 224, 224, 3]: `image` or black under noise, the same whenever it is asked."""
    x = torch.zeros(1, SIDE, SIDE, 3) if image is None else _square(image)
    noise = _noisy(x, kind, strength, Generator().manual_seed(int(x.sum()) % SEEDS)).clamp(0, 1)
    radius = (blur + 1) // 2 if blur % 2 == 0 else blur // 2
    if blur == 0 or radius == 0:
        return noise
    return _blurred(noise.movedim(-1, 1), radius, (2 * radius + 1) * 0.15 + 0.35).movedim(1, -1)


def _square(image: Tensor) -> Tensor:
    middle = cropped(image.cpu().float(), "center").movedim(-1, 1)
    small = functional.interpolate(middle, (SIDE, SIDE), mode="bicubic", antialias=True)
    return small.movedim(1, -1).contiguous()


def _noisy(x: Tensor, kind: PictureNoise, strength: float, generator: Generator) -> Tensor:
    if kind == "fade":
        return x * (1 - strength) + torch.rand(x.shape, generator=generator) * strength
    if kind == "dissolve":
        gone = (torch.rand(x.shape, generator=generator) < strength).float()
        return x * (1 - gone) + torch.rand(x.shape, generator=generator) * gone
    if kind == "gaussian":
        return x + torch.randn(x.shape, generator=generator) * strength
    x = _distorted(x.movedim(-1, 1), (1 - strength) * SMOOTHNESS, generator).movedim(1, -1)
    torch.rand(2, generator=generator)  # what decides, in the pack, to turn pictures around
    noise = torch.randn(x.shape, generator=generator) * (strength * MIXED)
    return x.flip(1, 2) * (1 - noise) + noise


def _distorted(x: Tensor, sigma: float, generator: Generator) -> Tensor:
    """Every pixel from somewhere near, and nearby pixels from near each other (Simard 2003)."""
    size = x.shape[-2:]
    moves = []
    for side in size:
        move = torch.rand(1, 1, *size, generator=generator) * 2 - 1
        radius = int(8 * sigma + 1) // 2
        move = _blurred(move, radius, sigma) if radius else move
        moves.append(move * REACH / side)
    y, x_at = (torch.linspace((1 - side) / side, (side - 1) / side, side) for side in size)
    grid = torch.stack(torch.meshgrid(x_at, y, indexing="xy"), -1)[None]
    grid = grid + torch.cat(moves, 1).movedim(1, -1)
    inside = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    moved = functional.grid_sample(inside, grid.expand(len(x), -1, -1, -1), align_corners=False)
    return moved[:, :-1] * moved[:, -1:]


def _blurred(x: Tensor, radius: int, sigma: float) -> Tensor:
    """`sigma` in pixels."""
    return blur_channels(x, radius, sigma / radius)
