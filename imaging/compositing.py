"""Composites pictures with masks or alpha."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from graph.choices import PorterDuffMode
from imaging.masks import as_masks
from imaging.resize import resize
from imaging.sizes import add_channels, match_channels, repeat_to_batch

Planes: TypeAlias = tuple[Tensor, Tensor]  # a picture times its alpha, and its alpha


def paste(
    destination: Tensor,
    source: Tensor,
    at: tuple[int, int],
    mask: Tensor | None,
    *,
    resize_source: bool,
) -> Tensor:
    """[B, C, H, W] with `source` laid over it at (x, y), where `mask` [B, H, W] is 1.

    The mask is brought to the size of the source, and what hangs over the edge is cut.
    Source: ComfyUI comfy_extras/nodes_mask.py, composite.
    """
    if resize_source:
        source = resize(source, destination.shape[-1], destination.shape[-2], "bilinear")
    source = repeat_to_batch(source, destination.shape[0]).to(destination)
    x, y = at
    result = destination.clone()
    under = result[..., y : y + source.shape[-2], x : x + source.shape[-1]]
    over = source[..., : under.shape[-2], : under.shape[-1]]
    if mask is None:
        under.copy_(over)
        return result
    share = interpolate(as_masks(mask)[:, None], size=source.shape[-2:], mode="bilinear")
    share = repeat_to_batch(share, source.shape[0]).to(destination)
    share = share[..., : under.shape[-2], : under.shape[-1]]
    share = share.unsqueeze(1) if share.ndim < over.ndim else share
    under.copy_(share * over + (1 - share) * under)
    return result


def composite_images(
    destination: Tensor,
    source: Tensor,
    at: tuple[int, int],
    mask: Tensor | None,
    *,
    resize_source: bool,
) -> Tensor:
    """`paste` for [B, H, W, C] (ComfyUI comfy_extras/nodes_mask.py, ImageCompositeMasked)."""
    source = match_channels(destination, source)
    over, under = source.movedim(-1, 1), destination.movedim(-1, 1)
    return paste(under, over, at, mask, resize_source=resize_source).movedim(1, -1)


def split_alpha(image: Tensor) -> tuple[Tensor, Tensor]:
    """The colours [B, H, W, 3], and a mask of 1 - alpha [B, H, W].

    ComfyUI comfy_extras/nodes_compositing.py, SplitImageWithAlpha.
    """
    return image[..., :3], 1.0 - add_channels(image, 4)[..., 3]


def join_alpha(image: Tensor, alpha: Tensor) -> Tensor:
    """The image with a mask of 1 - alpha as its fourth channel, as many as there are of both.

    ComfyUI comfy_extras/nodes_compositing.py, JoinImageWithAlpha.
    """
    batch = min(len(image), len(alpha))
    opacity = 1.0 - interpolate(as_masks(alpha)[:, None], size=image.shape[1:3], mode="bilinear")
    return torch.cat([image[:batch, ..., :3], opacity[:batch].movedim(1, -1)], dim=-1)


def porter_duff(
    source: Tensor, source_mask: Tensor, destination: Tensor, destination_mask: Tensor,
    mode: PorterDuffMode,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Porter and Duff (1984) on images whose masks are 1 - alpha, in the size of `destination`.

    Source: ComfyUI comfy_extras/nodes_compositing.py, PorterDuffImageComposite.
    """
    batch = min(map(len, (source, source_mask, destination, destination_mask)))
    source = match_channels(destination, source)
    pictures = source, source_mask[..., None], destination, destination_mask[..., None]
    source, source_mask, destination, destination_mask = (
        _sized(picture[:batch].movedim(-1, 1), *destination.shape[1:3]) for picture in pictures
    )
    over, under = 1 - source_mask, 1 - destination_mask
    color, alpha = PORTER_DUFF[mode]((source * over, over), (destination * under, under))
    color = torch.where(alpha > 1e-5, color / alpha, 0).clamp(0, 1)
    return color.movedim(1, -1), 1 - alpha[:, 0]


def _sized(x: Tensor, height: int, width: int) -> Tensor:
    same = x.shape[-2:] == (height, width)
    return x if same else resize(x, width, height, "bicubic", "center")


def _union(a: Tensor, b: Tensor) -> Tensor:
    return a + b - a * b


def _outside(source: Planes, destination: Planes) -> Tensor:
    """The colours of each where the other is not."""
    (s, sa), (d, da) = source, destination
    return (1 - da) * s + (1 - sa) * d


def _overlay(source: Planes, destination: Planes) -> Planes:
    (s, sa), (d, da) = source, destination
    bright = sa * da - 2 * (da - s) * (sa - d)
    return torch.where(2 * d < da, 2 * s * d, bright), _union(sa, da)


PORTER_DUFF: Mapping[PorterDuffMode, Callable[[Planes, Planes], Planes]] = {
    "ADD": lambda s, d: ((s[0] + d[0]).clamp(0, 1), (s[1] + d[1]).clamp(0, 1)),
    "CLEAR": lambda _, d: (torch.zeros_like(d[0]), torch.zeros_like(d[1])),
    "DARKEN": lambda s, d: (_outside(s, d) + torch.minimum(s[0], d[0]), _union(s[1], d[1])),
    "DST": lambda _, d: d,
    "DST_ATOP": lambda s, d: (s[1] * d[0] + (1 - d[1]) * s[0], s[1]),
    "DST_IN": lambda s, d: (d[0] * s[1], s[1] * d[1]),
    "DST_OUT": lambda s, d: ((1 - s[1]) * d[0], (1 - s[1]) * d[1]),
    "DST_OVER": lambda s, d: (d[0] + (1 - d[1]) * s[0], d[1] + (1 - d[1]) * s[1]),
    "LIGHTEN": lambda s, d: (_outside(s, d) + torch.maximum(s[0], d[0]), _union(s[1], d[1])),
    "MULTIPLY": lambda s, d: (s[0] * d[0], s[1] * d[1]),
    "OVERLAY": _overlay,
    "SCREEN": lambda s, d: (_union(s[0], d[0]), _union(s[1], d[1])),
    "SRC": lambda s, _: s,
    "SRC_ATOP": lambda s, d: (d[1] * s[0] + (1 - s[1]) * d[0], d[1]),
    "SRC_IN": lambda s, d: (s[0] * d[1], s[1] * d[1]),
    "SRC_OUT": lambda s, d: ((1 - d[1]) * s[0], (1 - d[1]) * s[1]),
    "SRC_OVER": lambda s, d: (s[0] + (1 - s[1]) * d[0], s[1] + (1 - s[1]) * d[1]),
    "XOR": lambda s, d: (_outside(s, d), (1 - d[1]) * s[1] + (1 - s[1]) * d[1]),
}
