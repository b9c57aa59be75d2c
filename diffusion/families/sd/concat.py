"""Channels concatenated to the latent: nine for inpainting, eight for InstructPix2Pix.

(ComfyUI comfy/model_base.py, BaseModel.concat_cond, set_inpaint and IP2P.concat_cond)
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.frame import Frame, fitted_to
from diffusion.latent_format import process_in

GREY = (0.8223, -0.6876, 0.6364, 0.1380)  # a picture of zeros in SD 1's latent space


def concat_channels(
    extras: Mapping[str, Any], frame: Frame, in_channels: int, *, scaled: bool = False
) -> Tensor | None:
    """[B, C, h, w] to append to a latent of [B, c, h, w]; None where the model takes no more.

    `scaled`: the pictures of InstructPix2Pix come in the model's scale, not in the VAE's.
    """
    extra = in_channels - frame.shape[1]
    if extra == 0:
        return None
    if extra == frame.shape[1] + 1:
        return _inpaint(extras, frame)
    return _instruct(extras, frame, scaled=scaled)


def _inpaint(extras: Mapping[str, Any], frame: Frame) -> Tensor:
    """The mask and the picture that is masked out, both in latent size."""
    mask = extras.get("concat_mask", frame.denoise_mask)
    if mask is None:
        return _nothing_known(frame)
    picture = extras.get("concat_latent_image")
    picture = frame.latent if picture is None else process_in(frame.format, _placed(picture, frame))
    mask = mask[:, :1] if mask.ndim == len(frame.shape) else mask
    mask = _placed(mask, frame).reshape(-1, 1, *mask.shape[-2:])
    return torch.cat([fitted_to(frame, mask).round(), fitted_to(frame, picture)], dim=1)


def _nothing_known(frame: Frame) -> Tensor:
    batch, _, height, width = frame.shape
    mask = torch.ones(batch, 1, height, width, device=frame.device)
    grey = torch.tensor(GREY, device=frame.device).reshape(1, -1, 1, 1)
    return torch.cat([mask, grey.expand(batch, -1, height, width)], dim=1)


def _instruct(extras: Mapping[str, Any], frame: Frame, *, scaled: bool) -> Tensor:
    """The picture to be changed."""
    picture = extras.get("concat_latent_image")
    if picture is None:
        return torch.zeros(frame.shape, device=frame.device)
    fitted = fitted_to(frame, _placed(picture, frame))
    return process_in(frame.format, fitted) if scaled else fitted


def _placed(tensor: Tensor, frame: Frame) -> Tensor:
    return tensor.to(frame.device, torch.float32)
