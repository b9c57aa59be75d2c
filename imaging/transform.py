"""Crops, rotates, pads, joins and splits pictures."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from graph.choices import FlipMethod, Rotation, ScaleMethod
from imaging.resize import resize_image
from imaging.sizes import add_channels, check_size

TURNS = ("none", "90 degrees", "180 degrees", "270 degrees")


def crop_image(image: Tensor, width: int, height: int, x: int, y: int) -> Tensor:
    """The part inside a rectangle, at least one pixel (ComfyUI nodes_images.py, ImageCrop)."""
    x, y = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
    return image[:, y : y + height, x : x + width]


def rotate_image(image: Tensor, rotation: Rotation) -> Tensor:
    """The image turned clockwise (ComfyUI nodes_images.py, ImageRotate)."""
    return torch.rot90(image, TURNS.index(rotation), dims=(2, 1))


def flip_image(image: Tensor, method: FlipMethod) -> Tensor:
    """The image upside down, or mirrored (ComfyUI nodes_images.py, ImageFlip)."""
    return image.flip(1 if method.startswith("x") else 2)


def batch_images(first: Tensor, second: Tensor) -> Tensor:
    """One batch of two, in the size of the first (ComfyUI nodes.py, ImageBatch)."""
    height, width, channels = first.shape[1:]
    if second.shape[1:3] != first.shape[1:3]:
        second = resize_image(second, width, height, "bilinear", "center")
    channels = max(channels, second.shape[-1])
    check_size(len(first) + len(second), height, width, channels)
    return torch.cat([add_channels(first, channels), add_channels(second, channels)])


def repeat_images(image: Tensor, amount: int) -> Tensor:
    """The whole batch, `amount` times (ComfyUI nodes_images.py, RepeatImageBatch)."""
    check_size(amount, *image.shape)
    return image.repeat(amount, 1, 1, 1)


def images_from_batch(image: Tensor, first: int, length: int) -> Tensor:
    """At most `length` pictures from `first` on, at least the last (ImageFromBatch)."""
    first = min(first, image.shape[0] - 1)
    return image[first : first + length]


def rebatch_images(images: Sequence[Tensor], batch_size: int) -> tuple[Tensor, ...]:
    """All pictures of all batches, in batches of `batch_size` (ComfyUI nodes_rebatch.py)."""
    pictures = [picture[None] for batch in images for picture in batch]
    starts = range(0, len(pictures), batch_size)
    return tuple(torch.cat(pictures[start : start + batch_size]) for start in starts)


def resize_and_pad(
    image: Tensor, width: int, height: int, color: Literal["white", "black"], method: ScaleMethod
) -> Tensor:
    """The whole image in the middle of a canvas (ComfyUI nodes_images.py, ResizeAndPadImage)."""
    batch, old_height, old_width, channels = image.shape
    scale = min(width / old_width, height / old_height)
    inner = resize_image(image, int(old_width * scale), int(old_height * scale), method)
    left, top = (width - inner.shape[2]) // 2, (height - inner.shape[1]) // 2
    canvas = image.new_full((batch, height, width, channels), 1.0 if color == "white" else 0.0)
    canvas[:, top : top + inner.shape[1], left : left + inner.shape[2]] = inner
    return canvas


def pad_for_outpaint(
    image: Tensor, sides: tuple[int, int, int, int], feathering: int
) -> tuple[Tensor, Tensor]:
    """The image on a grey canvas, and where it is to be painted: [B, H, W, C] and [1, H, W].

    `sides` are the pixels added to the left, top, right and bottom. The mask fades into the old
    picture over `feathering` pixels where the picture has room for it on both sides.

    Source: ComfyUI nodes.py, ImagePadForOutpaint.
    """
    left, top, right, bottom = sides
    batch, height, width, channels = image.shape
    size = height + top + bottom, width + left + right
    check_size(batch, *size, channels)
    inside = (slice(top, top + height), slice(left, left + width))
    canvas = torch.full((batch, *size, channels), 0.5)
    canvas[:, *inside] = image
    mask = torch.ones(size)
    mask[inside] = _feather(height, width, sides, feathering)
    return canvas, mask[None]


def _feather(height: int, width: int, sides: tuple[int, int, int, int], feathering: int) -> Tensor:
    """[H, W]: 1 at the sides that grow, falling to 0 by the square of the distance."""
    if not 0 < 2 * feathering < min(height, width):
        return torch.zeros(height, width)
    left, top, right, bottom = sides
    rows, columns = torch.arange(height), torch.arange(width)
    far = torch.tensor(feathering)
    vertical = torch.minimum(rows if top else far, height - rows if bottom else far)
    horizontal = torch.minimum(columns if left else far, width - columns if right else far)
    distance = torch.minimum(vertical[..., None], horizontal).clamp(max=feathering)
    return (((feathering - distance).double() / feathering) ** 2).float().expand(height, width)
