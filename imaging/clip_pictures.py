"""Prepares pictures for a CLIP image encoder: a 224-pixel square."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from graph.choices import ClipInterpolation, CropPosition

SIDE = 224


def prepare_for_clip(
    image: Tensor, interpolation: ClipInterpolation, crop_position: CropPosition, sharpening: float
) -> Tensor:
    """Pictures [B, 224, 224, C], cropped or padded to a square first, then sharpened.

    (ComfyUI_IPAdapter_plus IPAdapterPlus.py, PrepImageForClipVision)
    """
    cut = padded(image) if crop_position == "pad" else cropped(image, crop_position)
    resample = Image.Resampling[interpolation]
    small = torch.stack([_resized(picture, resample) for picture in cut])
    return contrast_sharpened(small, sharpening) if sharpening > 0 else small


def padded(image: Tensor) -> Tensor:
    """With black on both sides of the shorter side; of an odd difference a pixel is left."""
    height, width = image.shape[1:3]
    across, down = max(height - width, 0) // 2, max(width - height, 0) // 2
    return pad(image, (0, 0, across, across, down, down))


def cropped(image: Tensor, position: CropPosition) -> Tensor:
    """The square at one end of the picture, or in its middle."""
    height, width = image.shape[1:3]
    side = min(height, width)
    y = {"top": 0, "bottom": height - side}.get(position, (height - side) // 2)
    x = {"left": 0, "right": width - side}.get(position, (width - side) // 2)
    return image[:, y : y + side, x : x + side]


def _resized(picture: Tensor, resample: Image.Resampling) -> Tensor:
    pixels = (picture.cpu().float().clamp(0, 1).numpy() * 255).astype(np.uint8)
    small = Image.fromarray(pixels.squeeze()).resize((SIDE, SIDE), resample)
    values = torch.from_numpy(np.asarray(small).astype(np.float32) / 255)
    return values.reshape(SIDE, SIDE, picture.shape[-1])


def contrast_sharpened(image: Tensor, amount: float) -> Tensor:
    """Sharper where that does not overshoot (AMD FidelityFX CAS, Lottes 2019); black outside."""
    x = pad(image.movedim(-1, 1), (1, 1, 1, 1))
    height, width = image.shape[1:3]
    shifted = {
        (dy, dx): x[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    beside = [shifted[place] for place in ((-1, 0), (0, -1), (0, 1), (1, 0))]
    aslant = [shifted[place] for place in ((-1, -1), (-1, 1), (1, -1), (1, 1))]
    cross, corners = torch.stack([*beside, shifted[0, 0]]), torch.stack(aslant)
    most = cross.amax(0).clamp(max=1) + corners.amax(0).clamp(max=1)
    least = cross.amin(0).clamp(min=0) + corners.amin(0).clamp(min=0)
    room = (torch.minimum(least, 2 - most) / most).sqrt()
    weight = -room * (amount * (1 / 5 - 1 / 8) + 1 / 8)
    sharp = (sum(beside, torch.zeros(1)) * weight + shifted[0, 0]) / (1 + 4 * weight)
    return torch.nan_to_num(sharp).clamp(0, 1).movedim(1, -1)
