"""Channels that ride beside Flux's latent: what is filled in, and the picture it goes by.

(ComfyUI comfy/model_base.py, Flux.concat_cond)
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.frame import Frame, fitted_to, process_in, spread_to
from imaging.resize import resize

PX = 8  # pixels of a picture along one pixel of its latent


def flux_channels(extras: Mapping[str, Any], frame: Frame) -> Tensor:
    """[B, C, h, w]: a picture's latent and, for models that fill in, where they may paint."""
    own = frame.shape[1]
    picture = extras.get("concat_latent_image")
    if picture is None:
        picture = torch.zeros(frame.shape)
    picture = fitted_to(frame, picture.to(frame.device, torch.float32))
    picture = process_in(frame.format, picture)
    if frame.in_channels <= 2 * own:
        return picture
    mask = extras.get("concat_mask", frame.denoise_mask)
    if mask is None:
        mask = torch.ones(frame.shape[0], 1, *frame.shape[-2:])
    return torch.cat([picture, _mask_channels(mask.to(frame.device, torch.float32), frame)], dim=1)


def _mask_channels(mask: Tensor, frame: Frame) -> Tensor:
    """A mask in the picture's size as the 64 pixels of every latent pixel."""
    height, width = frame.shape[-2:]
    mask = mask.mean(dim=1, keepdim=True) if mask.ndim == 4 else mask[:, None]
    pixels = resize(mask, width * PX, height * PX, "bilinear", "center")
    tiles = pixels.reshape(len(pixels), height, PX, width, PX).permute(0, 2, 4, 1, 3)
    return spread_to(tiles.reshape(len(pixels), PX * PX, height, width), frame.shape[0])
