"""Prepares pictures [B, H, W, C] and masks [B, 1, H, W] for inpainting.

(ComfyUI nodes.py, VAEEncodeForInpaint and InpaintModelConditioning.)
"""

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.autoencoder.vae import cut_to_multiple
from graph.latent_sizes import NODE_PX
from imaging.sizes import BatchMismatchError

GREY = 0.5


def fit_mask(image: Tensor, mask: Tensor) -> Tensor:
    """A mask [1, 1, H, W] for each that came in, over the part of `image` that has a latent."""
    mask = mask.reshape(-1, 1, *mask.shape[-2:])
    mask = functional.interpolate(mask, size=tuple(image.shape[1:3]), mode="bilinear")
    return cut_to_multiple(mask.movedim(1, -1), NODE_PX).movedim(-1, 1)


def grey_out(image: Tensor, mask: Tensor) -> Tensor:
    """The part of `image` that has a latent, grey where a fitted mask is above a half."""
    pixels = cut_to_multiple(image[..., :3], NODE_PX)
    if len(mask) not in {1, len(pixels)} and len(pixels) != 1:
        raise BatchMismatchError(len(pixels), len(mask))
    kept = 1.0 - mask.round().movedim(1, -1)
    return (pixels - GREY) * kept + GREY


def grow_noise_mask(mask: Tensor, grow: int) -> Tensor:
    """A fitted mask, hard and wider by about half of `grow` pixels on every side."""
    hard = mask.round()
    if grow > 1:
        height, width = mask.shape[-2:]
        hard = functional.max_pool2d(hard, (grow, 1), stride=1, padding=(grow // 2, 0))
        hard = functional.max_pool2d(hard, (1, grow), stride=1, padding=(0, grow // 2))
        hard = hard[..., :height, :width].clamp(0, 1)
    return hard


def zeros_like(samples: Tensor) -> Tensor:
    """A latent with nothing in it."""
    return torch.zeros_like(samples)
