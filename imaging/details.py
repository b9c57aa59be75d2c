"""Parts of pictures cut out to be drawn again, and put back (Impact Pack core.py, utils.py)."""

import torch
from torch import Tensor

from graph.segs import Seg, Segs
from imaging.masks import as_masks
from imaging.resize import resize_image
from imaging.segs import blur_mask, combined_mask, crop, scaled_to


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


def paste_parts(
    image: Tensor, segs: Segs, feather: int, alpha: int, reference: Tensor | None
) -> Tensor:
    """Pictures [B, H, W, C] with parts pasted in: of `reference`, or those of the parts."""
    parts = scaled_to(segs, image)
    result = image.clone()
    for k, picture in enumerate(result.split(1)):
        for seg in parts.items:
            part = _of_picture(seg, reference, k)
            if part is None:
                continue
            mask = blur_mask(_mask_of(seg, k, len(image)), feather)[..., None] * (alpha / 255)
            x, y = seg.crop_region[:2]
            below = picture[:, y : y + part.shape[1], x : x + part.shape[2], : part.shape[-1]]
            mask, part = (one[:, : below.shape[1], : below.shape[2]] for one in (mask, part))
            below.copy_((1 - mask) * below + mask * part)
    return result


def _of_picture(seg: Seg, reference: Tensor | None, place: int) -> Tensor | None:
    """What a part shows of the picture at a place [1, h, w, 3]; else of the last there is."""
    if reference is not None:
        return crop(reference[min(place, len(reference) - 1)][None], seg.crop_region)[..., :3]
    if seg.image is None:
        return None
    images = torch.as_tensor(seg.image)
    shown = images[min(place, len(images) - 1)][None, ..., :3]
    x1, y1, x2, y2 = seg.crop_region
    return resize_image(shown, x2 - x1, y2 - y1, "lanczos") if _differs(shown, seg) else shown


def _differs(shown: Tensor, seg: Seg) -> bool:
    return (shown.shape[2], shown.shape[1]) != seg.size


def _mask_of(seg: Seg, place: int, pictures: int) -> Tensor:
    """A part's mask [1, h, w] for one picture: its own, or where any of several is."""
    masks = as_masks(seg.mask)
    if len(masks) == pictures:
        return masks[place][None]
    if len(masks) == 1:
        return masks
    return (masks.amax(dim=0) >= 0.1).float()[None]


def parts_mask(batch: tuple[Segs, ...]) -> Tensor:
    """Where the parts of each picture are, [B, H, W]."""
    return torch.cat([combined_mask(segs) for segs in batch])
