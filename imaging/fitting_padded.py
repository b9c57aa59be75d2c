"""Pictures and their masks brought to a size, cut or with borders (KJNodes' ImageResizeKJv2)."""

import math

import torch
from torch import Tensor

from graph.choices import PadMode, ScaleMethod
from graph.stages.fitting import PaddedFit
from imaging.padding import Sides, pad_image
from imaging.resize import resize, resize_image
from imaging.sizes import EmptyImageError

NO_MASK_PX = 64  # the side of ComfyUI's mask that says nothing
PAD_MODES: dict[str, PadMode] = {
    "pad": "color",
    "pad_edge": "edge",
    "pad_edge_pixel": "edge_pixel",
    "pillarbox_blur": "pillarbox_blur",
}
Size = tuple[int, int]  # width, height


def fit_image_and_mask(
    image: Tensor, mask: Tensor | None, size: Size, how: PaddedFit, method: ScaleMethod
) -> tuple[Tensor, int, int, Tensor]:
    """Images resized as KJNodes' Resize Image v2 does, their width and height, and their mask."""
    mask = _fitting_mask(mask, image)
    width, height = _wanted(size, image, how)
    if how.keep_proportion == "crop":
        image, mask = _cut(image, mask, (width, height), how.crop_position)
    resized = resize_image(image, width, height, method)
    if mask is not None:
        mask = _resized_mask(mask, (width, height), method)
    mode = PAD_MODES.get(how.keep_proportion)
    if mode is not None:
        sides = _borders(size, (width, height), image, how)
        if max(sides) > 0:
            resized, mask = pad_image(resized, sides, mode, how.pad_color, mask)
    if mask is None:
        mask = torch.zeros(1, NO_MASK_PX, NO_MASK_PX)
    return resized, resized.shape[2], resized.shape[1], mask


def _fitting_mask(mask: Tensor | None, image: Tensor) -> Tensor | None:
    """The mask in the size of its images, unless it is the one that says nothing."""
    size = tuple(image.shape[1:3])
    if mask is None or tuple(mask.shape[-2:]) == size:
        return mask
    if tuple(mask.shape[-2:]) == (NO_MASK_PX, NO_MASK_PX):
        return None
    return resize(mask[:, None], size[1], size[0], "bilinear")[:, 0]


def _resized_mask(mask: Tensor, size: Size, method: ScaleMethod) -> Tensor:
    return resize(mask[:, None], *size, method)[:, 0]


def _scaled(size: Size, image: Tensor, how: PaddedFit) -> Size:
    """The size to scale to, before it is made divisible."""
    width, height = size
    old_height, old_width = image.shape[1:3]
    if how.keep_proportion == "total_pixels":
        aspect = old_width / old_height
        return int(math.sqrt(width * height * aspect)), int(math.sqrt(width * height / aspect))
    if how.keep_proportion in {"stretch", "crop"}:
        return width or old_width, height or old_height
    ratios = [new / old for new, old in ((width, old_width), (height, old_height)) if new]
    ratio = min(ratios, default=1.0)
    one = len(ratios) == 1
    return (
        width if one and width else round(old_width * ratio),
        height if one and height else round(old_height * ratio),
    )


def _wanted(size: Size, image: Tensor, how: PaddedFit) -> Size:
    width, height = _scaled(size, image, how)
    if how.divisible_by > 1:
        width, height = width - width % how.divisible_by, height - height % how.divisible_by
    if min(width, height) < 1:
        raise EmptyImageError(width, height)
    return width, height


def _borders(size: Size, scaled: Size, image: Tensor, how: PaddedFit) -> Sides:
    """Borders that fill the size, by where the picture is to be; then they are made divisible."""
    left, top = (side - new for side, new in zip(size, _scaled(size, image, how), strict=True))
    across = {"left": (0, left), "right": (left, 0)}
    down = {"top": (0, top), "bottom": (top, 0)}
    before, after = across.get(how.crop_position, (left // 2, left - left // 2))
    above, below = down.get(how.crop_position, (top // 2, top - top // 2))
    if how.divisible_by > 1 and max(before, after, above, below) > 0:
        after += -(scaled[0] + before + after) % how.divisible_by
        below += -(scaled[1] + above + below) % how.divisible_by
    return before, after, above, below


def _cut(
    image: Tensor, mask: Tensor | None, size: Size, position: str
) -> tuple[Tensor, Tensor | None]:
    """The part of the wanted proportions, by where it is to be."""
    height, width = image.shape[1:3]
    aspect = size[0] / size[1]
    wide = round(height * aspect) if width / height > aspect else width
    high = height if width / height > aspect else round(width / aspect)
    if min(wide, high) < 1:
        raise EmptyImageError(wide, high)
    x = {"left": 0, "right": width - wide}.get(position, (width - wide) // 2)
    y = {"top": 0, "bottom": height - high}.get(position, (height - high) // 2)
    cut = image[:, y : y + high, x : x + wide]
    return cut, None if mask is None else mask[:, y : y + high, x : x + wide]
