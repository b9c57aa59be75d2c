"""A latent blurred where self-attention looks most (Hong et al. 2023, Self-Attention Guidance).

(ComfyUI comfy_extras/nodes_sag.py, create_blur_map)
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

KERNEL = 9  # latent pixels along a side


def blurred_where_attended(latent: Tensor, attention: Tensor, blur_sigma: float) -> Tensor:
    """`latent` [B, C, h, w], blurred at the places that get more than an equal share of attention.

    `attention` [B, heads, T, T] is that of a level whose T places tile the latent.
    """
    height, width = latent.shape[-2:]
    attended = attention.mean(dim=1).sum(dim=1) > 1.0
    rows = rows_of(attended.shape[-1], height / width)
    mask = attended.reshape(len(attended), 1, rows, -1).to(latent.dtype)
    mask = functional.interpolate(mask, (height, width))
    return gaussian_blur(latent, blur_sigma) * mask + latent * (1 - mask)


def rows_of(places: int, aspect: float) -> int:
    """How many rows `places` lie in, where height to width is about `aspect`."""
    guess = round(math.sqrt(aspect * places))
    for away in range(math.floor(math.sqrt(places) / 2)):
        for rows in (guess + away, max(1, guess - away)):
            if places % rows == 0:
                return rows
    return 1


def gaussian_blur(latent: Tensor, sigma: float) -> Tensor:
    """[B, C, h, w] blurred with reflected edges."""
    x = torch.linspace(-(KERNEL - 1) / 2, (KERNEL - 1) / 2, KERNEL, device=latent.device)
    line = torch.exp(-0.5 * (x / sigma) ** 2)
    line = (line / line.sum()).to(latent.dtype)
    channels = latent.shape[1]
    kernel = (line[:, None] * line[None, :]).expand(channels, 1, KERNEL, KERNEL)
    padded = functional.pad(latent, [KERNEL // 2] * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=channels)
