"""Masks grown, filled, mixed from frame to frame and blurred (KJNodes' GrowMaskWithBlur)."""

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from graph.stages.fitting import Growth
from imaging.masks import as_masks
from imaging.morphology import dilate, dilate_diamond


def grow_masks(mask: Tensor, how: Growth) -> tuple[Tensor, Tensor]:
    """Masks grown frame by frame, and their inverse."""
    frames = as_masks(1.0 - mask if how.flip_input else mask)
    grown: list[Tensor] = []
    expand = float(how.expand)
    for frame in frames:
        one = _grown(frame, round(expand), tapered_corners=how.tapered_corners)
        expand += abs(how.incremental_expandrate) * (-1 if expand < 0 else 1)
        if how.fill_holes:
            one = _filled(one)
        grown.append(_mixed(one, grown[-1] if grown else None, how))
    result = torch.stack([_blurred(one, how.blur_radius) for one in grown])
    return result, 1.0 - result


def _grown(mask: Tensor, expand: int, *, tapered_corners: bool) -> Tensor:
    if expand == 0 or mask.max() <= 0:
        return mask
    x, radius = mask[None, None] * (1 if expand > 0 else -1), abs(expand)
    x = dilate_diamond(x, radius) if tapered_corners else dilate(x, (radius, radius))
    return x[0, 0] * (1 if expand > 0 else -1)


def _filled(mask: Tensor) -> Tensor:
    """1 where the mask is, and where it encloses something."""
    from scipy.ndimage import binary_fill_holes  # type: ignore[import-untyped] # noqa: PLC0415 - slow

    filled = binary_fill_holes((mask > 0).cpu().numpy())
    return torch.from_numpy(filled.astype(np.float32)).to(mask.device)


def _mixed(mask: Tensor, before: Tensor | None, how: Growth) -> Tensor:
    """A frame with some of the one before it."""
    if before is None:
        return mask
    if how.lerp_alpha < 1:
        mask = how.lerp_alpha * mask + (1 - how.lerp_alpha) * before
    if how.decay_factor < 1:
        mask = mask + how.decay_factor * before
        mask = mask / mask.max().clamp(min=torch.finfo(mask.dtype).tiny)
    return mask


def _blurred(mask: Tensor, radius: float) -> Tensor:
    """Pillow's blur, on 8 bits."""
    if radius == 0:
        return mask
    levels = (255.0 * mask).clamp(0, 255).to(torch.uint8).cpu().numpy()
    blurred = Image.fromarray(levels).filter(ImageFilter.GaussianBlur(radius))
    return torch.from_numpy(np.array(blurred, np.float32) / np.float32(255)).to(mask.device)
