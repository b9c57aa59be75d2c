"""Crops the hints, areas and masks of a picture's prompts to one tile.

(ComfyUI_UltimateSDUpscale usdu_utils.py, crop_cond)
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from graph.latent_sizes import NODE_PX
from graph.values import Condition, Conditioning, ControlUse
from imaging.redraw_tiles import Box, Size, overlap


@dataclass(frozen=True)
class Cut:
    """Tiles of `size`, which are `boxes` of a picture of size `canvas` that was `before` once.

    What cannot be different for each goes by the first of them.
    """

    boxes: tuple[Box, ...]
    before: Size
    canvas: Size
    size: Size


def cut_conditioning(conditioning: Conditioning, cut: Cut) -> Conditioning:
    """The prompts for the tiles of `cut`."""
    return tuple(_cut(condition, cut) for condition in conditioning)


def _cut(condition: Condition, cut: Cut) -> Condition:
    controls = tuple(_control(use, cut) for use in condition.controls)
    condition = replace(condition, controls=controls)
    if condition.mask is not None:
        condition = replace(condition, mask=_mask(condition.mask, cut))
    if condition.area is not None and not condition.area_in_percent:
        condition = _area(condition, cut)
    return condition


def _control(use: ControlUse, cut: Cut) -> ControlUse:
    """A hint of whatever size, seen as laid over the whole picture."""
    height, width = use.hint.shape[1:3]
    hints = []
    for box in cut.boxes:
        left, top, right, bottom = scaled(box, cut.canvas, (width, height))
        hint = use.hint[:, top:bottom, left:right].movedim(-1, 1)
        hint = functional.interpolate(hint, size=cut.size[::-1], mode="nearest-exact")
        hints.append(hint.movedim(1, -1))
    return replace(use, hint=torch.cat(hints))


def scaled(box: Box, of: Size, to: Size) -> Box:
    """A box of a picture of one size in the same picture of another, rounded outwards."""
    across, down = to[0] / of[0], to[1] / of[1]
    return (
        math.floor(box[0] * across),
        math.floor(box[1] * down),
        math.ceil(box[2] * across),
        math.ceil(box[3] * down),
    )


def _area(condition: Condition, cut: Cut) -> Condition:
    """The part of an area inside of the tile; a prompt whose area is elsewhere is for all of it."""
    assert condition.area is not None
    height, width, y, x = (int(side) * NODE_PX for side in condition.area)
    area = scaled((x, y, x + width, y + height), cut.before, cut.canvas)
    left, top, right, bottom = cut.boxes[0]
    if not overlap(area, cut.boxes[0]):
        return replace(condition, area=None, strength=1.0)
    x, y = max(area[0], left) - left, max(area[1], top) - top
    width = min(area[2], right) - left - x
    height = min(area[3], bottom) - top - y
    return replace(
        condition, area=(height // NODE_PX, width // NODE_PX, y // NODE_PX, x // NODE_PX)
    )


def _mask(mask: Tensor, cut: Cut) -> Tensor:
    """A mask [B, H, W] over the tile."""
    own = mask.unsqueeze(0) if mask.ndim == 2 else mask
    return torch.stack([_one_mask(each, cut) for each in own])


def _one_mask(mask: Tensor, cut: Cut) -> Tensor:
    picture = Image.fromarray((255 * mask.cpu().float().numpy()).astype(np.uint8))
    picture = picture.resize(cut.canvas, Image.Resampling.BICUBIC).crop(cut.boxes[0])
    ratio = min(cut.size[0] / picture.width, cut.size[1] / picture.height)
    fitted = (round(picture.width * ratio), round(picture.height * ratio))
    picture = picture.resize(fitted, Image.Resampling.LANCZOS)
    aside = [(whole - part) // 2 for whole, part in zip(cut.size, fitted, strict=True)]
    pixels = np.pad(np.asarray(picture), ((aside[1],) * 2, (aside[0],) * 2), mode="edge")
    whole = Image.fromarray(pixels).resize(cut.size, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(whole).astype(np.float32) / 255.0)
