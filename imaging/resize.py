"""Resamples [B, C, H, W] and [B, C, T, H, W] tensors."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from graph.choices import ScaleCrop, ScaleMethod
from imaging.bislerp import bislerp
from imaging.sizes import EmptyImageError, check_size


def resize(
    x: Tensor, width: int, height: int, method: ScaleMethod, crop: ScaleCrop = "disabled"
) -> Tensor:
    """`x` resampled to height x width (ComfyUI comfy/utils.py, common_upscale).

    `center` first cuts the middle of the wanted proportions out of it.

    Raises:
        EmptyImageError: the wanted size, or the part of these proportions, has no pixels.
    """
    if x.ndim > 4:  # frames of a video: each is a picture
        return _each_frame(x, lambda frames: resize(frames, width, height, method, crop))
    if min(width, height) < 1:
        raise EmptyImageError(width, height)
    check_size(*x.shape[:2], height, width)
    if crop == "center":
        x = _middle(x, width / height)
    if method == "bislerp":
        return bislerp(x, width, height)
    if method == "lanczos":
        return _lanczos(x, width, height)
    return interpolate(x, size=(height, width), mode=method)


def resize_image(
    image: Tensor, width: int, height: int, method: ScaleMethod, crop: ScaleCrop = "disabled"
) -> Tensor:
    """`resize` for [B, H, W, C]."""
    return resize(image.movedim(-1, 1), width, height, method, crop).movedim(1, -1)


def scale_image(
    image: Tensor, width: int, height: int, method: ScaleMethod, crop: ScaleCrop
) -> Tensor:
    """The image at a size; a side of 0 follows from the other (ComfyUI nodes.py, ImageScale)."""
    if width == height == 0:
        return image
    old_height, old_width = image.shape[1:3]
    return resize_image(
        image,
        width or max(1, round(old_width * height / old_height)),
        height or max(1, round(old_height * width / old_width)),
        method,
        crop,
    )


def scale_image_by(image: Tensor, factor: float, method: ScaleMethod) -> Tensor:
    """Both sides times `factor` (ComfyUI nodes.py, ImageScaleBy)."""
    height, width = image.shape[1:3]
    return resize_image(image, round(width * factor), round(height * factor), method)


def scale_image_to_megapixels(image: Tensor, megapixels: float, method: ScaleMethod) -> Tensor:
    """The image at about so many times 2**20 pixels.

    ComfyUI comfy_extras/nodes_post_processing.py, ImageScaleToTotalPixels.
    """
    height, width = image.shape[1:3]
    return scale_image_by(image, math.sqrt(int(megapixels * 2**20) / (width * height)), method)


def scale_image_to_area(image: Tensor, area_px: int, multiple: int) -> Tensor:
    """The image at about so many pixels, its sides a multiple of `multiple`.

    ComfyUI comfy_extras/nodes_qwen.py, TextEncodeQwenImageEditPlus.
    """
    height, width = image.shape[1:3]
    factor = math.sqrt(area_px / (width * height)) / multiple
    new_width, new_height = (max(1, round(side * factor)) * multiple for side in (width, height))
    return resize_image(image, new_width, new_height, "area")


def scale_image_to_longest(image: Tensor, longest_px: int, method: ScaleMethod) -> Tensor:
    """The image with its longer side at `longest_px`.

    ComfyUI comfy_extras/nodes_images.py, ImageScaleToMaxDimension.
    """
    height, width = image.shape[1:3]
    if height > width:
        return resize_image(image, round((width / height) * longest_px), longest_px, method)
    return resize_image(image, longest_px, round((height / width) * longest_px), method)


def _each_frame(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` [N, C, H, W] for the frames of [B, C, ..., H, W]."""
    batch, channels = x.shape[:2]
    frames = x.flatten(2, -3).movedim(2, 1).flatten(0, 1)
    changed = change(frames)
    size = changed.shape[-2:]
    changed = changed.reshape(batch, -1, channels, *size).movedim(1, 2)
    return changed.reshape(batch, channels, *x.shape[2:-2], *size)


def _middle(x: Tensor, aspect: float) -> Tensor:
    """The middle part of `x` whose width / height is `aspect`, to the pixel."""
    height, width = x.shape[-2:]
    old_aspect = width / height
    left = top = 0
    if old_aspect > aspect:
        left = round((width - width * (aspect / old_aspect)) / 2)
    elif old_aspect < aspect:
        top = round((height - height * (old_aspect / aspect)) / 2)
    middle = x[..., top : height - top, left : width - left]
    if middle.numel() == 0:
        raise EmptyImageError(middle.shape[-1], middle.shape[-2])
    return middle


def _lanczos(x: Tensor, width: int, height: int) -> Tensor:
    """Lanczos with a = 3 on 8-bit pictures, as Pillow does it: values are cut to n / 255."""
    levels = (255.0 * x.float()).clamp(0, 255).to(torch.uint8).cpu().movedim(1, -1)
    pictures = (Image.fromarray(_squeezed(picture.numpy())) for picture in levels)
    resized = [p.resize((width, height), resample=Image.Resampling.LANCZOS) for p in pictures]
    values = np.stack([np.array(p, dtype=np.float32) for p in resized]) / np.float32(255.0)
    result = torch.from_numpy(values.reshape(len(x), height, width, x.shape[1])).movedim(-1, 1)
    return result.to(x.device, x.dtype)


def _squeezed(picture: np.ndarray) -> np.ndarray:
    """[H, W, C] as Pillow takes it: grey pictures have no channel axis."""
    return picture[..., 0] if picture.shape[-1] == 1 else picture


def resample(
    image: Tensor,
    size: tuple[int, int] | float,
    method: Literal["lanczos", "nearest", "bilinear", "bicubic"],
    *,
    by_way_of: int,
) -> Tensor:
    """Images [B, H, W, C] at a size or scaled by a factor, on 8 bits as Pillow does it.

    They get there by way of a size that is so many times as large (WAS Node Suite, Image Resize).
    """
    height, width = image.shape[1:3]
    wide, high = (int(width * size), int(height * size)) if isinstance(size, float) else size
    if min(wide, high) < 1:
        raise EmptyImageError(wide, high)
    check_size(*(len(image), image.shape[-1]), high * by_way_of, wide * by_way_of)
    filter_ = Image.Resampling[method.upper()]
    levels = (255.0 * image.float()).clamp(0, 255).to(torch.uint8).cpu()
    resized = []
    for one in levels:
        picture = Image.fromarray(_squeezed(one.numpy()))
        if by_way_of > 1:
            picture = picture.resize((wide * by_way_of, high * by_way_of), filter_)
        resized.append(np.array(picture.resize((wide, high), filter_), np.float32))
    values = np.stack(resized).reshape(len(image), high, wide, -1) / np.float32(255.0)
    return torch.from_numpy(values).to(image.device)
