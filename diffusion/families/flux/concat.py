"""Channels concatenated to Flux's latent: inpainting masks and control pictures.

(ComfyUI comfy/model_base.py, Flux.concat_cond)
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.fitting import spread_to
from diffusion.batch.frame import Frame, fitted_to
from diffusion.latent_format import process_in
from imaging.resize import resize


def concat_channels(extras: Mapping[str, Any], frame: Frame, in_channels: int) -> Tensor | None:
    """[B, C, h, w]: a picture's latent and, for models that fill in, where they may paint.

    None where the model takes nothing beside its latent.
    """
    own = frame.shape[1]
    if in_channels == own:
        return None
    picture = extras.get("concat_latent_image")
    if picture is None:
        picture = torch.zeros(frame.shape)
    picture = fitted_to(frame, picture.to(frame.device, torch.float32))
    picture = process_in(frame.format, picture)
    if in_channels <= 2 * own:
        return picture
    mask = extras.get("concat_mask", frame.denoise_mask)
    if mask is None:
        mask = torch.ones(frame.shape[0], 1, *frame.shape[-2:])
    return torch.cat([picture, _mask_channels(mask.to(frame.device, torch.float32), frame)], dim=1)


def _mask_channels(mask: Tensor, frame: Frame) -> Tensor:
    """A mask in the picture's size as the pixels of every latent pixel, one channel each."""
    (height, width), px = frame.shape[-2:], frame.format.px
    mask = mask.mean(dim=1, keepdim=True) if mask.ndim == 4 else mask[:, None]
    pixels = resize(mask, width * px, height * px, "bilinear", "center")
    tiles = pixels.reshape(len(pixels), height, px, width, px).permute(0, 2, 4, 1, 3)
    return spread_to(tiles.reshape(len(pixels), px * px, height, width), frame.shape[0])
