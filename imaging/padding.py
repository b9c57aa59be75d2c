"""Pictures with borders around them (KJNodes image_nodes.py, ImagePadKJ)."""

import math
from dataclasses import dataclass

import torch
from PIL import ImageColor
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from graph.choices import PadMode
from graph.errors import ServiceError
from imaging.resize import resize
from imaging.sizes import check_size

Sides = tuple[int, int, int, int]  # left, right, top, bottom
LUMA = (0.2126, 0.7152, 0.0722)
DESATURATED, DIMMED = 0.2, 0.35  # how far a blurred background is


@dataclass(eq=False)
class ColorTextError(ServiceError):
    """A text that says no colour."""

    status = 422
    code = "color_text"
    template = "{text!r} is no colour: say a name, #rrggbb, or numbers such as 255, 128, 0."
    text: str


def color_of(text: str) -> tuple[float, ...]:
    """Red, green and blue, in 0..1, of a name, a hexadecimal number, or numbers of 0..255 or 0..1.

    Raises:
        ColorTextError: it is none of these.
    """
    said = text.strip()
    parts = said.split(",")
    try:
        numbers = [float(part) for part in parts]
        if not all(map(math.isfinite, numbers)):
            raise ColorTextError(text[:100])
    except ValueError:
        numbers = []
    if numbers and not said.startswith("#"):
        levels = [
            int(n * 255) if max(numbers) <= 1 and min(numbers) >= 0 else int(n) for n in numbers
        ]
        levels = levels * 3 if len(levels) == 1 else levels
    else:
        try:
            levels = list(ImageColor.getrgb(said if said.isalpha() else f"#{said.lstrip('#')}"))
        except ValueError as error:
            raise ColorTextError(text[:100]) from error
    if len(levels) < 3:
        raise ColorTextError(text[:100])
    return tuple(min(max(level, 0), 255) / 255 for level in levels[:3])


def pad_image(
    image: Tensor, sides: Sides, mode: PadMode, color: str, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Images [B, H, W, C] with borders, and a mask: theirs, wider, or 1 on the borders.

    Raises:
        ColorTextError: `color` says none.
        ImageTooLargeError: with borders they are too large.
    """
    left, right, top, bottom = sides
    count, height, width, channels = image.shape
    size = height + top + bottom, width + left + right
    check_size(count, channels, *size)
    inside = (slice(None), slice(top, top + height), slice(left, left + width))
    if mode == "edge_pixel":
        padded = pad(image.movedim(-1, 1), sides, mode="replicate").movedim(1, -1).clone()
    elif mode == "edge":
        padded = _with_mean_edges(image, sides, size)
    elif mode == "pillarbox_blur":
        padded = _background(image, size)
    else:
        levels = (*color_of(color), 1.0)[:channels]
        padded = image.new_tensor(levels).expand(count, *size, channels).clone()
    padded[inside] = image
    return padded, _padded_mask(mask, image, sides, mode, padded)


def _padded_mask(
    mask: Tensor | None, image: Tensor, sides: Sides, mode: PadMode, padded: Tensor
) -> Tensor:
    left, _, top, _ = sides
    height, width = image.shape[1:3]
    if mask is not None and mask.shape[-2:] != image.shape[1:3]:
        mask = interpolate(mask[:, None], size=(height, width), mode="nearest-exact")[:, 0]
    if mask is not None and mode != "pillarbox_blur":
        return pad(mask[:, None], sides, mode="replicate")[:, 0]
    outside = image.new_ones(padded.shape[:3])
    outside[:, top : top + height, left : left + width] = 0.0 if mask is None else mask
    return outside


def _with_mean_edges(image: Tensor, sides: Sides, size: tuple[int, int]) -> Tensor:
    """Each border in the mean colour of the edge that it is at."""
    left, _, top, _ = sides
    height, width = image.shape[1:3]
    padded = image.new_zeros(len(image), *size, image.shape[-1])
    padded[:, :top] = image[:, :1].mean(2, keepdim=True)
    padded[:, top + height :] = image[:, -1:].mean(2, keepdim=True)
    padded[:, :, :left] = image[:, :, :1].mean(1, keepdim=True)
    padded[:, :, left + width :] = image[:, :, -1:].mean(1, keepdim=True)
    return padded


def _background(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The picture itself over the whole size: blurred, paler and darker."""
    height, width = size
    scale = max(width / image.shape[2], height / image.shape[1])
    wide, high = (max(1, round(side * scale)) for side in (image.shape[2], image.shape[1]))
    x = resize(image.movedim(-1, 1), wide, high, "bilinear")
    top, left = max(0, (high - height) // 2), max(0, (wide - width) // 2)
    x = x[..., top : top + height, left : left + width]
    missing = height - x.shape[2], width - x.shape[3]
    if max(missing) > 0:
        above, before = (side // 2 for side in missing)
        x = pad(x, (before, missing[1] - before, above, missing[0] - above), mode="replicate")
    x = _blurred(x, max(1.0, 0.006 * min(size)))
    if x.shape[1] >= 3:
        grey = (x[:, :3] * x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        x = torch.cat([x[:, :3] * (1 - DESATURATED) + grey * DESATURATED, x[:, 3:]], 1)
    return (x * DIMMED).clamp(0, 1).movedim(1, -1).clone()


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """A Gaussian that reaches three deviations, with black around the picture."""
    radius = max(1, int(3 * sigma))
    places = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    weights = (weights / weights.sum())[None, None, None].expand(x.shape[1], 1, 1, -1)
    rows = conv2d(x, weights, padding=(0, radius), groups=x.shape[1])
    return conv2d(rows, weights.mT, padding=(radius, 0), groups=x.shape[1])
