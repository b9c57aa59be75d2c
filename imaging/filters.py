"""Blur, sharpening and blending (ComfyUI comfy_extras/nodes_post_processing.py)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from graph.choices import BlendMode
from graph.errors import ServiceError
from imaging.resize import resize_image
from imaging.sizes import match_batch, match_channels


@dataclass(eq=False)
class ImageTooSmallError(ServiceError):
    """A filter that reaches further than the picture it is used on."""

    status = 422
    code = "image_too_small"
    template = "A radius of {radius} needs an image of more pixels than {width} × {height}."
    radius: int
    width: int
    height: int


def gaussian_weights(radius: int, sigma: float) -> Tensor:
    """[2 * radius + 1] weights that add up to 1. `sigma` is in units of `radius`."""
    x = torch.linspace(-1, 1, 2 * radius + 1, dtype=torch.float64)
    weights = torch.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def blur_channels(x: Tensor, radius: int, sigma: float) -> Tensor:
    """Gaussian blur of [B, C, H, W] that mirrors the picture at its edges.

    Raises:
        ImageTooSmallError: the picture is too small to be mirrored so far.
    """
    if radius >= min(x.shape[-2:]):
        raise ImageTooSmallError(radius, x.shape[-1], x.shape[-2])
    weights = gaussian_weights(radius, sigma).to(x)
    channels = x.shape[1]
    rows = weights[None, None, None].expand(channels, 1, 1, -1)
    columns = weights[None, None, :, None].expand(channels, 1, -1, 1)
    mirrored = pad(x, (radius, radius, radius, radius), mode="reflect")
    return conv2d(conv2d(mirrored, rows, groups=channels), columns, groups=channels)


def sharpen_channels(x: Tensor, radius: int, sigma: float, amount: float) -> Tensor:
    """Unsharp masking of [B, C, H, W]: what a blur takes away, added 10 * `amount` times."""
    return x + 10 * amount * (x - blur_channels(x, radius, sigma))


def gaussian_blur(image: Tensor, radius: int, sigma: float) -> Tensor:
    """The image behind a Gaussian of `radius` pixels; `sigma` is in units of `radius`."""
    return blur_channels(image.movedim(-1, 1), radius, sigma).movedim(1, -1)


def sharpen(image: Tensor, radius: int, sigma: float, amount: float) -> Tensor:
    """The image with the detail below `radius` pixels made stronger."""
    return sharpen_channels(image.movedim(-1, 1), radius, sigma, amount).movedim(1, -1).clamp(0, 1)


def blend_images(image: Tensor, other: Tensor, factor: float, mode: BlendMode) -> Tensor:
    """`image` with `factor` of its blend with `other`, which is brought to its size."""
    other = match_batch(image, match_channels(image, other))
    if other.shape[1:3] != image.shape[1:3]:
        other = resize_image(other, image.shape[2], image.shape[1], "bicubic", "center")
    blended = BLEND_MODES[mode](image, other)
    return (image * (1 - factor) + blended * factor).clamp(0, 1)


def _overlay(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))


def _soft_light(a: Tensor, b: Tensor) -> Tensor:
    """Compositing and Blending Level 1 (W3C), "soft-light": `b` darkens or lightens `a`."""
    lifted = torch.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, a.sqrt())
    return torch.where(b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (lifted - a))


BLEND_MODES: Mapping[BlendMode, Callable[[Tensor, Tensor], Tensor]] = {
    "normal": lambda _, b: b,
    "multiply": torch.mul,
    "screen": lambda a, b: 1 - (1 - a) * (1 - b),
    "overlay": _overlay,
    "soft_light": _soft_light,
    "difference": torch.sub,
}
