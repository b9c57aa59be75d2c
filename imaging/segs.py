"""SEGS made of masks and boxes, turned into masks, chosen and changed (Impact Pack core.py)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from graph.errors import ServiceError
from graph.segs import MOST_PARTS, Box, Detection, Region, Seg, Segs, TooManyPartsError
from imaging.filters import blur_channels
from imaging.masks import as_masks
from imaging.morphology import dilate, erode
from imaging.regions import region_around
from imaging.resize import resize_image
from imaging.sizes import check_size

MOST_PRODUCTS = 2 * 10**10  # of one blur
EMPTY_PX = 64  # the side of what stands for a picture that is not there


@dataclass(eq=False)
class OnePictureError(ServiceError):
    """A batch where one picture is needed."""

    status = 422
    code = "batch_mismatch"
    template = "SEGS are of one picture, and it is given {count}."
    count: int


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector found: its name, box, confidence, and mask [H, W] in the whole picture."""

    label: str
    box: Box
    confidence: float
    mask: Tensor


def one_picture(image: Tensor) -> Tensor:
    """The only picture of a batch [1, H, W, C]. Raises: OnePictureError."""
    if len(image) != 1:
        raise OnePictureError(len(image))
    return image


def counted(parts: Iterable[Seg]) -> tuple[Seg, ...]:
    """The parts, made one by one.

    Raises:
        TooManyPartsError: there are too many.
        ImageTooLargeError: their masks take too much.
    """
    found: list[Seg] = []
    held = 0
    for part in parts:
        found.append(part)
        held += part.mask.numel()
        check_size(held)
        if len(found) > MOST_PARTS:
            raise TooManyPartsError(MOST_PARTS)
    return tuple(found)


def segs_of(found: Iterable[Found], image: Tensor, how: Detection) -> Segs:
    """What a detector found in one picture [1, H, W, C], cut out with what is around it."""
    height, width = image.shape[1:3]
    smallest = max(how.drop_size, 1)

    def parts() -> Iterator[Seg]:
        for one in found:
            x1, y1, x2, y2 = one.box
            if x2 - x1 <= smallest or y2 - y1 <= smallest:
                continue
            mask = dilate_mask(one.mask, how.dilation) if how.dilation > 0 else one.mask
            region = region_around(one.box, (width, height), how.crop_factor)
            cut = crop(image, region)
            yield Seg(
                cut_mask(mask, region).clone(), one.confidence, region, one.box, one.label, cut
            )

    return Segs((height, width), counted(parts()))


def crop(image: Tensor, region: Region) -> Tensor:
    """A region of images [B, H, W, C]."""
    x1, y1, x2, y2 = region
    return image[:, y1:y2, x1:x2]


def cut_mask(mask: Tensor, region: Region) -> Tensor:
    """A region of a mask [..., H, W]."""
    x1, y1, x2, y2 = region
    return mask[..., y1:y2, x1:x2]


def dilate_mask(mask: Tensor, size: int) -> Tensor:
    """A mask [..., H, W] dilated, or eroded below 0, with a square of `size` pixels."""
    if size == 0:
        return mask
    side = abs(size)
    change = dilate if size > 0 else erode
    planes = mask.reshape(-1, 1, *mask.shape[-2:])
    return change(planes, (side // 2, side - side // 2 - 1)).reshape(mask.shape)


def blur_mask(mask: Tensor, radius: int, sigma: float = 10.0) -> Tensor:
    """A mask [..., H, W] behind a Gaussian that fits into it; `radius` and `sigma` in pixels."""
    if radius <= 0:
        return mask
    size = 2 * radius + 1
    shortest = min(mask.shape[-2:])
    if shortest <= size:
        size = shortest // 2
        size += 1 - size % 2
        if size < 3:
            return mask
    planes = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    half = size // 2
    if planes.numel() * size**2 > MOST_PRODUCTS:
        return blur_channels(planes, half, sigma / half).reshape(mask.shape)
    # In one go, as torchvision does it: where a mask is 1, samplers compare it with exactly 1.
    places = torch.linspace(-half, half, steps=size)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights /= weights.sum()
    square = torch.mm(weights[:, None], weights[None])[None, None].to(planes.device)
    wide = pad(planes, (half, half, half, half), mode="reflect")
    return conv2d(wide, square).reshape(mask.shape)


def mask_to_segs(
    mask: Tensor,
    *,
    combined: bool,
    crop_factor: float,
    bbox_fill: bool,
    drop_size: int,
    contour_fill: bool,
) -> Segs:
    """The parts of a mask: all as one, or each area that hangs together."""
    masks = as_masks(mask).cpu()

    def parts() -> Iterator[Seg]:
        for one in masks:
            if combined:
                yield from _whole(one, crop_factor, bbox_fill=bbox_fill)
            else:
                yield from _areas(
                    one,
                    crop_factor,
                    bbox_fill=bbox_fill,
                    drop_size=max(drop_size, 1),
                    contour_fill=contour_fill,
                )

    return Segs((masks.shape[1], masks.shape[2]), counted(parts()))


def _whole(mask: Tensor, crop_factor: float, *, bbox_fill: bool) -> Iterator[Seg]:
    ys, xs = torch.nonzero(mask, as_tuple=True)
    if not len(ys):
        return
    box = int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())
    region = region_around(box, (mask.shape[1], mask.shape[0]), crop_factor)
    x1, y1, x2, y2 = region
    if x2 <= x1 or y2 <= y1:
        return
    cut = cut_mask(mask, region).clone()
    if bbox_fill:  # by the place in the picture, as the pack does it
        cut[box[1] : box[3], box[0] : box[2]] = 1.0
    yield Seg(cut, 1.0, region, box, "A")


def _areas(
    mask: Tensor, crop_factor: float, *, bbox_fill: bool, drop_size: int, contour_fill: bool
) -> Iterator[Seg]:
    levels = (mask.numpy() * 255.0).astype(np.uint8)
    contours, tree = cv2.findContours(levels, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    outer = [
        c
        for c, facts in zip(contours, () if tree is None else tree[0], strict=True)
        if facts[3] == -1
    ]
    for contour in outer:
        x, y, wide, high = cv2.boundingRect(contour)
        if wide <= drop_size or high <= drop_size:
            continue
        box = x, y, x + wide, y + high
        region = region_around(box, (mask.shape[1], mask.shape[0]), crop_factor)
        left, top, right, bottom = region
        area = np.zeros((bottom - top, right - left), np.uint8)
        cv2.drawContours(area, [contour], 0, 255, -1, offset=(-left, -top))
        shape = torch.from_numpy((area / 255.0).astype(np.float32))
        cut = shape if contour_fill else cut_mask(mask, region) * shape
        if bbox_fill:
            cut[y - top : y - top + high, x - left : x - left + wide] = 1.0
        yield Seg(cut.clamp(0, 1), 1.0, region, box, "A")


def as_levels(mask: Tensor) -> NDArray[np.uint8]:
    """A mask in 0..255, cut off and not rounded."""
    return np.asarray((mask.float().cpu().numpy() * 255).astype(np.uint8))


def combined_mask(segs: Segs) -> Tensor:
    """All parts in one mask [1, H, W]."""
    levels = np.zeros(segs.size, np.uint8)
    for seg in segs.items:
        for plane in as_levels(as_masks(seg.mask)):
            _or(levels, plane, seg.crop_region)
    return torch.from_numpy(levels.astype(np.float32) / np.float32(255))[None]


def _or(levels: NDArray[np.uint8], plane: NDArray[np.uint8], region: Region) -> None:
    x1, y1, x2, y2 = region
    levels[y1:y2, x1:x2] |= plane


def mask_list(segs: Segs) -> tuple[Tensor, ...]:
    """The mask [1, H, W] of each part; an empty one where there is none."""
    check_size(sum(len(as_masks(seg.mask)) for seg in segs.items), *segs.size)
    masks = []
    for seg in segs.items:
        for plane in as_levels(as_masks(seg.mask)):
            levels = np.zeros(segs.size, np.uint8)
            _or(levels, plane, seg.crop_region)
            masks.append(torch.from_numpy(levels.astype(np.float32) / np.float32(255))[None])
    return tuple(masks) or (torch.zeros(1, *segs.size),)


def within(segs: Segs, masks: Sequence[Tensor]) -> Segs:
    """The parts within masks [H, W], one for all or one each; bits of levels are combined."""
    chosen = masks if len(masks) > 1 else list(masks) * len(segs.items)

    def parts() -> Iterator[Seg]:
        for seg, mask in zip(segs.items, chosen, strict=False):
            both = as_levels(seg.mask) & as_levels(cut_mask(mask, seg.crop_region))
            yield replace(seg, mask=torch.from_numpy(both.astype(np.float32) / np.float32(255)))

    return segs.of(parts())


def scaled_to(segs: Segs, image: Tensor) -> Segs:
    """The parts in the size of a picture [1, H, W, C]."""
    size = (image.shape[1], image.shape[2])
    if size == segs.size or 0 in segs.size:
        return segs
    down, across = size[0] / segs.size[0], size[1] / segs.size[1]

    def moved(box: Any) -> Region:
        x1, y1, x2, y2 = box
        return int(x1 * across), int(y1 * down), int(x2 * across), int(y2 * down)

    def parts() -> Iterator[Seg]:
        for seg in segs.items:
            region = moved(seg.crop_region)
            wide, high = region[2] - region[0], region[3] - region[1]
            if min(wide, high) < 1:
                continue
            planes = as_masks(seg.mask)[:, None]
            mask = interpolate(planes, size=(high, wide), mode="bilinear")[:, 0]
            image = None if seg.image is None else resize_image(seg.image, wide, high, "lanczos")
            yield replace(
                seg,
                mask=mask if seg.mask.ndim == 3 else mask[0],
                crop_region=region,
                bbox=moved(seg.bbox),
                image=image,
            )

    return Segs(size, counted(parts()))


def with_masks(segs: Segs, change: Callable[[Tensor], Tensor]) -> Segs:
    """The parts with other masks."""
    return segs.of(replace(seg, mask=change(seg.mask)) for seg in segs.items)


def dilate_segs(segs: Segs, dilation: int) -> Segs:
    return with_masks(segs, lambda mask: dilate_mask(mask, dilation))


def blur_segs(segs: Segs, radius: int, sigma: float) -> Segs:
    return with_masks(segs, lambda mask: blur_mask(mask, radius, sigma))


def pictures_of(segs: Segs, image: Tensor | None) -> tuple[Tensor, ...]:
    """The picture of each part: as it was drawn, or cut out of `image`."""
    if image is not None:
        segs = scaled_to(segs, image)
    empty = torch.zeros(1, EMPTY_PX, EMPTY_PX, 3)

    def picture(seg: Seg) -> Tensor:
        if seg.image is not None:
            return seg.image  # type: ignore[no-any-return]
        return empty if image is None else crop(image, seg.crop_region)

    return tuple(map(picture, segs.items)) or (empty,)


def merged(segs: Segs) -> Segs:
    """All parts as one."""
    if not segs.items:
        return segs
    regions, boxes = ([getattr(s, name) for s in segs.items] for name in ("crop_region", "bbox"))
    region = _around(regions)
    mask = cut_mask(combined_mask(segs), region)
    confidence = min(1.0, *(seg.confidence for seg in segs.items))
    return segs.of([Seg(mask, confidence, region, _around(boxes), "merged")])


def _around(boxes: Sequence[Any]) -> Any:
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def mask_batch(segs: Segs) -> Tensor:
    """The masks of all parts, [N, H, W]."""
    return torch.cat(mask_list(segs))


def drawable(segs: Segs) -> tuple[int, ...]:
    """The places of the parts whose mask is not empty."""
    return tuple(k for k, seg in enumerate(segs.items) if bool((seg.mask != 0).any()))


def combine_levels(first: Tensor, second: Tensor, operation: str) -> Tensor:
    """Two masks combined; of masks of different sizes the first, as the pack does it.

    `and` combines the bits of the numbers themselves, as OpenCV does it.
    """
    if first.shape != second.shape:
        return first
    if operation == "and":
        bits = [mask.float().cpu().numpy().view(np.uint32) for mask in (first, second)]
        return torch.from_numpy((bits[0] & bits[1]).view(np.float32))
    sign = 1 if operation == "add" else -1
    return (first + sign * second).clamp(0, 1)
