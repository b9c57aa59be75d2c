"""Colours: inversion, YUV, noise and plain canvases."""

import torch
from torch import Tensor

from imaging.sizes import SizeMismatchError, check_size

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def invert_image(image: Tensor) -> Tensor:
    """The negative (ComfyUI nodes.py, ImageInvert)."""
    return 1.0 - image


def luma(image: Tensor) -> Tensor:
    """[B, H, W, 3] as grey, [B, H, W] (ITU-R BT.601)."""
    red, green, blue = image[..., :3].unbind(-1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def rgb_to_yuv(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Y, Cb and Cr as three grey pictures; Cb and Cr lie around 0.5.

    ComfyUI comfy_extras/nodes_morphology.py, ImageRGBToYUV.
    """
    y = luma(image)
    planes = y, (image[..., 2] - y) * 0.564 + 0.5, (image[..., 0] - y) * 0.713 + 0.5
    first, second, third = (plane[..., None].expand(*plane.shape, 3) for plane in planes)
    return first, second, third


def yuv_to_rgb(y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The picture of three planes, each the mean of an image's channels.

    Raises:
        SizeMismatchError: the planes are not of one size.

    Source: ComfyUI comfy_extras/nodes_morphology.py, ImageYUVToRGB.
    """
    y, cb, cr = (plane.mean(dim=-1) for plane in (y, u, v))
    for plane in (cb, cr):
        if plane.shape != y.shape:
            raise SizeMismatchError(tuple(y.shape), tuple(plane.shape))
    cb, cr = cb - 0.5, cr - 0.5
    rgb = y + 1.403 * cr, y - 0.714 * cr - 0.344 * cb, y + 1.773 * cb
    return torch.stack(rgb, dim=-1).clamp(0, 1)


def add_noise(image: Tensor, seed: int, strength: float) -> Tensor:
    """The image under Gaussian noise (ComfyUI comfy_extras/nodes_images.py, ImageAddNoise)."""
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + strength * noise.to(image)).clamp(0, 1)


def empty_image(width: int, height: int, batch_size: int, color: int) -> Tensor:
    """A canvas of one colour, 0xRRGGBB (ComfyUI nodes.py, EmptyImage)."""
    check_size(batch_size, height, width, 3)
    levels = [(color >> shift & 0xFF) / 0xFF for shift in (16, 8, 0)]
    return torch.tensor(levels).repeat(batch_size, height, width, 1)


def image_size(image: Tensor) -> tuple[int, int, int]:
    """Width, height and how many pictures (ComfyUI comfy_extras/nodes_images.py, GetImageSize)."""
    batch, height, width = image.shape[:3]
    return width, height, batch
