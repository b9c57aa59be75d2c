"""Pictures and masks brought to a size in the ways of ComfyUI's Resize Image/Mask and of packs.

ComfyUI comfy_extras/nodes_post_processing.py, ResizeImageMaskNode; ComfyUI_essentials image.py,
ImageResize; KJNodes image_nodes.py, ImageResizeKJ.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from graph.choices import ScaleCrop, ScaleMethod
from graph.stages.fitting import Fit, FitMethod
from imaging.resize import resize
from imaging.sizes import EmptyImageError, check_size

LARGEST = 16384
Size = tuple[int, int]  # width, height


def resize_any(picture: Tensor, how: Mapping[str, Any], method: ScaleMethod) -> Tensor:
    """Images [B, H, W, C] or masks [B, H, W], resized as a choice of Resize Image/Mask says."""
    width, height = picture.shape[2], picture.shape[1]
    chosen = how["resize_type"]
    crop: ScaleCrop = how.get("crop", "disabled")
    if chosen == "scale to multiple":
        return _cover_multiple(picture, how["multiple"], method)
    if chosen == "match size":
        match = how["match"]
        return _resized(picture, (match.shape[2], match.shape[1]), method, crop)
    size = SIZES[chosen](width, height, how)
    return picture if size == (0, 0) else _resized(picture, size, method, crop)


def _side(width: int, height: int, how: Mapping[str, Any]) -> Size:
    """Width and height as given; a side of 0 follows from the other."""
    wanted_width, wanted_height = how.get("width", 0), how.get("height", 0)
    if wanted_width == wanted_height == 0:
        return 0, 0
    return (
        wanted_width or max(1, round(width * wanted_height / height)),
        wanted_height or max(1, round(height * wanted_width / width)),
    )


def _longer(width: int, height: int, how: Mapping[str, Any]) -> Size:
    size = how["longer_size"]
    if height > width:
        return round((width / height) * size), size
    return size, round((height / width) * size)


def _shorter(width: int, height: int, how: Mapping[str, Any]) -> Size:
    size = how["shorter_size"]
    if height < width:
        return round((width / height) * size), size
    return size, round((height / width) * size)


def _pixels(width: int, height: int, how: Mapping[str, Any]) -> Size:
    factor = math.sqrt(int(how["megapixels"] * 2**20) / (width * height))
    return round(width * factor), round(height * factor)


SIZES: Mapping[str, Callable[[int, int, Mapping[str, Any]], Size]] = MappingProxyType(
    {
        "scale dimensions": _side,
        "scale by multiplier": lambda width, height, how: (
            round(width * how["multiplier"]),
            round(height * how["multiplier"]),
        ),
        "scale longer dimension": _longer,
        "scale shorter dimension": _shorter,
        "scale width": _side,
        "scale height": _side,
        "scale total pixels": _pixels,
    }
)


def _cover_multiple(picture: Tensor, multiple: int, method: ScaleMethod) -> Tensor:
    """The middle of a picture, of a size that is a multiple, scaled so that it covers that."""
    height, width = picture.shape[1:3]
    wanted_width, wanted_height = width // multiple * multiple, height // multiple * multiple
    if 0 in {wanted_width, wanted_height} or (wanted_width, wanted_height) == (width, height):
        return picture
    across, down = wanted_width / width, wanted_height / height
    if across >= down:
        size = wanted_width, max(math.ceil(height * across), wanted_height)
    else:
        size = max(math.ceil(width * down), wanted_width), wanted_height
    scaled = _resized(picture, size, method, "disabled")
    left, top = (size[0] - wanted_width) // 2, (size[1] - wanted_height) // 2
    return scaled[:, top : top + wanted_height, left : left + wanted_width]


def _resized(picture: Tensor, size: Size, method: ScaleMethod, crop: ScaleCrop) -> Tensor:
    if picture.ndim == 3:
        return resize(picture[:, None], *size, method, crop)[:, 0]
    return resize(picture.movedim(-1, 1), *size, method, crop).movedim(1, -1)


def batch_pictures(images: list[Tensor]) -> Tensor:
    """One batch of many, in the size of the first and with as many channels as one has.

    ComfyUI comfy_extras/nodes_post_processing.py, batch_images and batch_masks.
    """
    if images[0].ndim == 4:
        channels = max(image.shape[-1] for image in images)
        images = [
            pad(image, (0, 1), value=1.0) if image.shape[-1] < channels else image
            for image in images
        ]
    size = images[0].shape[2], images[0].shape[1]
    count = sum(len(image) for image in images)
    check_size(count, images[0].shape[-1] if images[0].ndim == 4 else 1, size[1], size[0])
    return torch.cat(
        [
            image
            if (image.shape[2], image.shape[1]) == size
            else _resized(image, size, "bilinear", "center")
            for image in images
        ]
    )


def fit_image(
    image: Tensor, size: Size, fit: Fit, interpolation: FitMethod, *, multiple_of: int
) -> tuple[Tensor, int, int]:
    """Images resized as Essentials' Image Resize does, and their width and height."""
    width, height = size
    if multiple_of > 1:
        width, height = width - width % multiple_of, height - height % multiple_of
    size, borders, cut = _fitted(image, width, height, fit.method)
    result = image
    if _applies(image, size, fit.condition):
        x = image.movedim(-1, 1)
        check_size(*x.shape[:2], max(size[1], height), max(size[0], width))
        if min(size) < 1:
            raise EmptyImageError(*size)
        if interpolation == "lanczos":
            x = resize(x, *size, "lanczos")
        else:
            x = interpolate(x, size=(size[1], size[0]), mode=interpolation)
        result = pad(x, borders).movedim(1, -1) if max(borders) > 0 else x.movedim(1, -1)
        if cut:
            left, top, right, bottom = cut
            result = result[:, top:bottom, left:right]
    result = _to_multiple(result, multiple_of).clamp(0, 1)
    return result, result.shape[2], result.shape[1]


def _fitted(
    image: Tensor, width: int, height: int, method: str
) -> tuple[Size, tuple[int, int, int, int], tuple[int, int, int, int] | None]:
    """The size to scale to, the borders to add, and the part to keep."""
    old_height, old_width = image.shape[1:3]
    no_borders = (0, 0, 0, 0)
    if method in {"keep proportion", "pad"}:
        if width == 0:
            width = LARGEST if old_height < height else old_width
        if height == 0:
            height = LARGEST if old_width < width else old_height
        ratio = min(width / old_width, height / old_height)
        size = round(old_width * ratio), round(old_height * ratio)
        if method == "keep proportion":
            return size, no_borders, None
        left, top = (width - size[0]) // 2, (height - size[1]) // 2
        return size, (left, width - size[0] - left, top, height - size[1] - top), None
    width, height = width or old_width, height or old_height
    if method == "stretch":
        return (width, height), no_borders, None
    ratio = max(width / old_width, height / old_height)
    size = round(old_width * ratio), round(old_height * ratio)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    right, bottom = left + width, top + height
    left, top = max(0, left - max(0, right - size[0])), max(0, top - max(0, bottom - size[1]))
    return size, no_borders, (left, top, right, bottom)


def _applies(image: Tensor, size: Size, condition: str) -> bool:
    """Whether an image is of such a size that it is to be resized to `size`."""
    old_height, old_width = image.shape[1:3]
    width, height = size
    return {
        "always": True,
        "downscale if bigger": old_height > height or old_width > width,
        "upscale if smaller": old_height < height or old_width < width,
        "if bigger area": old_height * old_width > height * width,
        "if smaller area": old_height * old_width < height * width,
    }[condition]


def _to_multiple(image: Tensor, multiple: int) -> Tensor:
    """The middle of an image, with sides that are multiples."""
    if multiple <= 1:
        return image
    height, width = image.shape[1:3]
    over_x, over_y = width % multiple, height % multiple
    left, top = over_x // 2, over_y // 2
    middle = image[:, top : height - (over_y - top), left : width - (over_x - left)]
    if middle.numel() == 0:
        raise EmptyImageError(middle.shape[2], middle.shape[1])
    return middle


def fit_image_divisible(
    image: Tensor,
    size: Size,
    method: ScaleMethod,
    *,
    crop: ScaleCrop,
    keep_proportion: bool,
    divisible_by: int,
    like: Tensor | None,
) -> tuple[Tensor, int, int]:
    """Images resized as KJNodes' Resize Image does, and their width and height."""
    old_height, old_width = image.shape[1:3]
    width, height = size if like is None else (like.shape[2], like.shape[1])
    if like is None and keep_proportion:
        ratios = [new / old for new, old in ((width, old_width), (height, old_height)) if new]
        ratio = min(ratios, default=1.0)
        width = width if len(ratios) == 1 and width else round(old_width * ratio)
        height = height if len(ratios) == 1 and height else round(old_height * ratio)
    width, height = width or old_width, height or old_height
    if divisible_by > 1 and like is None:
        width, height = width - width % divisible_by, height - height % divisible_by
    result = _resized(image, (width, height), method, crop)
    return result, result.shape[2], result.shape[1]


def sharpen_adaptively(image: Tensor, amount: float) -> Tensor:
    """Contrast-adaptive sharpening (AMD FidelityFX CAS), as Essentials' node does it."""
    x = pad(image.movedim(-1, 1), (1, 1, 1, 1))
    height, width = image.shape[1:3]

    def moved(dy: int, dx: int) -> Tensor:
        return x[..., dy : dy + height, dx : dx + width]

    near = [moved(0, 1), moved(1, 0), moved(1, 2), moved(2, 1)]
    cross = torch.stack([*near, moved(1, 1)])
    corners = torch.stack([moved(0, 0), moved(0, 2), moved(2, 0), moved(2, 2)])
    low = cross.amin(0).clamp(min=0) + corners.amin(0).clamp(min=0)
    high = cross.amax(0).clamp(max=1) + corners.amax(0).clamp(max=1)
    strength = torch.sqrt(torch.minimum(low, 2 - high) / (high + 1e-5))
    weight = -strength * (amount * (1 / 5 - 1 / 8) + 1 / 8)
    sharp = (sum(near) * weight + moved(1, 1)) / (1 + 4 * weight)
    return sharp.clamp(0, 1).movedim(1, -1)


def crop_at(
    image: Tensor, size: Size, position: str, offset: tuple[int, int]
) -> tuple[Tensor, int, int]:
    """A part of images at a named place, and where it begins. Raises: EmptyImageError."""
    old_height, old_width = image.shape[1:3]
    width, height = min(old_width, size[0]), min(old_height, size[1])
    x, y = round((old_width - width) / 2), round((old_height - height) / 2)
    x = {"left": 0, "right": old_width - width}.get(_word(position, ("left", "right")), x)
    y = {"top": 0, "bottom": old_height - height}.get(_word(position, ("top", "bottom")), y)
    x, y = x + offset[0], y + offset[1]
    right, bottom = min(x + width, old_width), min(y + height, old_height)
    x, y = max(x, 0), max(y, 0)
    part = image[:, y : max(bottom, 0), x : max(right, 0)]
    if part.numel() == 0:
        raise EmptyImageError(part.shape[2], part.shape[1])
    return part, x, y


def _word(text: str, words: tuple[str, ...]) -> str:
    return next((word for word in words if word in text), "")
