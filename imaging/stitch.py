"""Stitches two pictures side by side (ComfyUI comfy_extras/nodes_images.py, ImageStitch)."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from graph.choices import SpacingColor, StitchDirection
from imaging.resize import resize_image
from imaging.sizes import add_channels, check_size, extend_to_batch

COLORS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}


def stitch_images(
    first: Tensor,
    second: Tensor,
    direction: StitchDirection,
    *,
    match_size: bool,
    spacing_px: int,
    spacing_color: SpacingColor,
) -> Tensor:
    """`second` to one side of `first`, over the shorter batch's last picture where one ends.

    `second` is scaled to the common side, or else the smaller is centred on white or black.
    """
    along = 2 if direction in {"left", "right"} else 1
    batch = max(first.shape[0], second.shape[0])
    first, second = extend_to_batch(first, batch), extend_to_batch(second, batch)
    if match_size:
        second = _scaled_to(first, second, along)
    else:
        value = 1.0 if spacing_color == "white" else 0.0
        length = max(first.shape[3 - along], second.shape[3 - along])
        first, second = (_centred(image, 3 - along, length, value) for image in (first, second))
    channels = max(first.shape[-1], second.shape[-1])
    parts = [add_channels(first, channels), add_channels(second, channels)]
    if direction in {"left", "up"}:
        parts.reverse()
    if spacing_px:
        parts.insert(1, _spacing(parts[0], along, spacing_px + spacing_px % 2, spacing_color))
    check_size(*parts[0].shape, len(parts))
    return torch.cat(parts, dim=along)


def _scaled_to(first: Tensor, second: Tensor, along: int) -> Tensor:
    """`second` as high (or wide) as `first`, in its own proportions."""
    height, width = first.shape[1:3]
    aspect = second.shape[2] / second.shape[1]
    if along == 2:
        return resize_image(second, int(height * aspect), height, "lanczos")
    return resize_image(second, width, int(width / aspect), "lanczos")


def _centred(image: Tensor, axis: int, length: int, value: float) -> Tensor:
    missing = length - image.shape[axis]
    before, after = missing // 2, missing - missing // 2
    return pad(image, (0, 0) * (3 - axis) + (before, after), value=value) if missing else image


def _spacing(beside: Tensor, along: int, width: int, color: SpacingColor) -> Tensor:
    """A bar of one colour, opaque where the pictures have alpha."""
    channels = beside.shape[-1]
    shape = list(beside.shape[:-1])
    shape[along] = width
    return beside.new_tensor((*COLORS[color], 1.0)[:channels]).expand(*shape, channels)
