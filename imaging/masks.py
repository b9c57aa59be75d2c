"""Masks, [B, H, W] (ComfyUI comfy_extras/nodes_mask.py)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graph.choices import MaskOperation
from graph.errors import ServiceError
from imaging.morphology import dilate, dilate_diamond
from imaging.sizes import BatchMismatchError, EmptyImageError, check_size

CHANNELS = ("red", "green", "blue", "alpha")


@dataclass(eq=False)
class MissingChannelError(ServiceError):
    """A channel that was asked for and that the image does not have."""

    status = 422
    code = "missing_channel"
    template = "The image has no {channel} channel, it has {channels}."
    channel: str
    channels: int


def solid_mask(value: float, width: int, height: int) -> Tensor:
    """One mask of one value."""
    check_size(height, width)
    return torch.full((1, height, width), value, dtype=torch.float32)


def mask_to_image(mask: Tensor) -> Tensor:
    """The mask as a grey picture, [B, H, W, 3]."""
    return as_masks(mask)[..., None].expand(-1, -1, -1, 3)


def image_to_mask(image: Tensor, channel: str) -> Tensor:
    """One channel of an image.

    Raises:
        MissingChannelError: the image has no such channel.
    """
    index = CHANNELS.index(channel)
    if index >= image.shape[-1]:
        raise MissingChannelError(channel, image.shape[-1])
    return image[..., index]


def color_to_mask(image: Tensor, color: int) -> Tensor:
    """1 where the image has exactly the colour 0xRRGGBB."""
    wanted = torch.tensor([color >> shift & 0xFF for shift in (16, 8, 0)], device=image.device)
    levels = (image[..., :3].clamp(0, 1) * 255).round()
    return (levels == wanted).all(dim=-1).float()


def invert_mask(mask: Tensor) -> Tensor:
    return 1.0 - mask


def threshold_mask(mask: Tensor, value: float) -> Tensor:
    """1 where the mask is above `value`."""
    return (mask > value).float()


def crop_mask(mask: Tensor, x: int, y: int, width: int, height: int) -> Tensor:
    """The part of a mask inside a rectangle.

    Raises:
        EmptyImageError: the rectangle lies outside.
    """
    part = as_masks(mask)[:, y : y + height, x : x + width]
    if part.numel() == 0:
        raise EmptyImageError(part.shape[2], part.shape[1])
    return part


def combine_masks(
    destination: Tensor, source: Tensor, x: int, y: int, operation: MaskOperation
) -> Tensor:
    """`destination` with `source` laid over it at (x, y)."""
    result, source = as_masks(destination).clone(), as_masks(source)
    under = result[:, y : y + source.shape[-2], x : x + source.shape[-1]]
    over = source[:, : under.shape[-2], : under.shape[-1]]
    if over.shape[0] not in {1, under.shape[0]}:
        raise BatchMismatchError(under.shape[0], over.shape[0])
    under.copy_(_combined(under, over, operation))
    return result.clamp(0, 1)


def _combined(under: Tensor, over: Tensor, operation: MaskOperation) -> Tensor:
    if operation == "multiply":
        return under * over
    if operation == "add":
        return under + over
    if operation == "subtract":
        return under - over
    combine = {"and": torch.logical_and, "or": torch.logical_or, "xor": torch.logical_xor}
    return combine[operation](under.round().bool(), over.round().bool()).to(under)


def feather_mask(mask: Tensor, left: int, top: int, right: int, bottom: int) -> Tensor:
    """The mask fading out towards its edges, over so many pixels on each side."""
    mask = as_masks(mask)
    height, width = mask.shape[-2:]
    columns = _ramp(width, min(left, width), min(right, width))
    rows = _ramp(height, min(top, height), min(bottom, height))
    return mask * columns.to(mask) * rows.to(mask)[:, None]


def _ramp(size: int, first: int, last: int) -> Tensor:
    """[size] weights that rise over the `first` and fall over the `last` pixels."""
    weights = torch.ones(size)
    if first:
        weights[:first] *= torch.arange(1, first + 1) / first
    if last:
        # ComfyUI counts the last pixels as 0, -1, -2 ...: its ramp begins on the first pixel
        weights[-torch.arange(last)] *= torch.arange(1, last + 1) / last
    return weights


def grow_mask(mask: Tensor, expand: int, tapered_corners: bool) -> Tensor:
    """The mask grown by `expand` pixels, or shrunk by as many below 0.

    With tapered corners distance is counted along rows and columns, else diagonals count as one.
    """
    x = as_masks(mask)[:, None]
    if expand < 0:
        x = -x
    radius = abs(expand)
    grown = dilate_diamond(x, radius) if tapered_corners else dilate(x, (radius, radius))
    return (-grown if expand < 0 else grown)[:, 0]


def as_masks(mask: Tensor) -> Tensor:
    """Masks without further axes: [B, H, W] of a [H, W] or [B, 1, H, W]."""
    return mask.reshape(-1, *mask.shape[-2:])
