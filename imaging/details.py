"""Parts of pictures cut out to be drawn again, and put back (Impact Pack core.py, utils.py)."""

import torch
from torch import Tensor

from graph.segs import Segs
from imaging.masks import as_masks
from imaging.resize import resize_image
from imaging.segs import blur_mask, combined_mask, crop


def cut_part(
    image: Tensor, segs: Segs, index: int, size: tuple[int, int], feather: int
) -> tuple[Tensor, Tensor, Tensor]:
    """A part of a picture [1, H, W, C] at the size in which it is drawn.

    With it the mask of where, feathered, and the part as it is.
    """
    seg = segs.items[index]
    part = crop(image, seg.crop_region)
    return resize_image(part, *size, "lanczos"), blur_mask(as_masks(seg.mask), feather), part


def put_part(
    image: Tensor, part: Tensor, segs: Segs, index: int, feather: int
) -> tuple[Tensor, Tensor, Tensor]:
    """A picture [1, H, W, C] with a part that was drawn again, the part, and it with its alpha."""
    seg = segs.items[index]
    x1, y1, x2, y2 = seg.crop_region
    part = resize_image(part.cpu(), x2 - x1, y2 - y1, "lanczos")
    alpha = blur_mask(as_masks(seg.mask), feather)[:1, ..., None]
    result = image.clone()
    below = result[:, y1:y2, x1:x2]
    result[:, y1:y2, x1:x2] = (1 - alpha) * below + alpha * part
    return result, part, torch.cat([part[..., :3], alpha], dim=-1)


def parts_mask(batch: tuple[Segs, ...]) -> Tensor:
    """Where the parts of each picture are, [B, H, W]."""
    return torch.cat([combined_mask(segs) for segs in batch])
