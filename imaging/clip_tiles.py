"""Cuts pictures into square tiles for an image encoder.

(ComfyUI_IPAdapter_plus IPAdapterPlus.py, IPAdapterTiled)
"""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from imaging.clip_pictures import contrast_sharpened

SIDE = 256
MOST = 4  # tiles along the longer side
NEARLY_SQUARE = (0.75, 1.33)  # height by width


def picture_tiles(
    image: Tensor, mask: Tensor | None, sharpening: float
) -> list[tuple[Tensor, Tensor]]:
    """Tiles [B, 256, 256, C] of pictures, and a mask [M, H, W] of each over all that is seen.

    What is nearly a square is cropped to one; of what is long and narrow, the middle is seen.
    """
    height, width = image.shape[1:3]
    if mask is None:
        mask = torch.ones(1, height, width)
    mask = _resized_mask(mask, (height, width))
    ratio = height / width
    if NEARLY_SQUARE[0] < ratio < NEARLY_SQUARE[1]:
        square = (min(height, width),) * 2
        image, mask = _middle(image, square), _middle(mask.unsqueeze(-1), square).squeeze(-1)
        size = (2 * SIDE, 2 * SIDE)
    elif height < width:
        size = (SIDE, int(SIDE * width / height))
    else:
        size = (int(SIDE * height / width), SIDE)
    image = torch.stack([_resized(picture, size) for picture in image])
    mask = _resized_mask(mask, size)
    seen = (min(size[0], MOST * SIDE), min(size[1], MOST * SIDE))
    if ratio > MOST or ratio < 1 / MOST:
        image, mask = _middle(image, seen), _middle(mask.unsqueeze(-1), seen).squeeze(-1)
    if sharpening > 0:
        image = contrast_sharpened(image, sharpening)
    return [
        (image[:, y : y + SIDE, x : x + SIDE], _within(mask, y, x))
        for y in _starts(image.shape[1])
        for x in _starts(image.shape[2])
    ]


def _starts(length: int) -> list[int]:
    """Where tiles begin that cover a side, evenly overlapping."""
    count = math.ceil(length / SIDE)
    overlap = (count * SIDE - length) / max(count - 1, 1)
    return [int(index * (SIDE - overlap)) for index in range(count)]


def _within(mask: Tensor, y: int, x: int) -> Tensor:
    """`mask` in one tile, and nothing elsewhere."""
    found = torch.zeros_like(mask)
    found[:, y : y + SIDE, x : x + SIDE] = mask[:, y : y + SIDE, x : x + SIDE]
    return found


def _middle(image: Tensor, size: tuple[int, int]) -> Tensor:
    y, x = (round((whole - part) / 2) for whole, part in zip(image.shape[1:3], size, strict=True))
    return image[:, y : y + size[0], x : x + size[1]]


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    pixels = (picture.cpu().float().clamp(0, 1).numpy() * 255).astype(np.uint8)
    larger = Image.fromarray(pixels.squeeze()).resize(size[::-1], Image.Resampling.LANCZOS)
    values = torch.from_numpy(np.asarray(larger).astype(np.float32) / 255)
    return values.reshape(*size, picture.shape[-1])


def _resized_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    resized = functional.interpolate(
        mask.cpu().float().unsqueeze(1), size=size, mode="bicubic", antialias=True
    )
    return resized.squeeze(1)
