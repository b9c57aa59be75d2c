"""Rotary position embeddings on several axes.

(Su et al. 2021, on several axes as in Flux and Lumina)
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def rotations(positions: Tensor, axes: Sequence[int], theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, head / 2] of positions [T, A], `axes` channels of a head for each."""
    angles = []
    for place, channels in zip(positions.double().unbind(dim=-1), axes, strict=True):
        waves = torch.arange(0, channels, 2, dtype=torch.float64, device=place.device) / channels
        angles.append(place[:, None] / theta**waves)
    all_axes = torch.cat(angles, dim=-1)
    return all_axes.cos().float(), all_axes.sin().float()


def rotated(heads: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """Heads [N, T, H, head], turned by what `rotations` gives."""
    cosines, sines = (table[:, None] for table in places)
    first, second = heads.float().unflatten(-1, (-1, 2)).unbind(dim=-1)
    turned = (first * cosines - second * sines, first * sines + second * cosines)
    return torch.stack(turned, dim=-1).flatten(-2).to(heads.dtype)
