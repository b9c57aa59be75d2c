"""Impact Pack: SEGS made of masks, turned into masks, chosen and changed."""

import sys
from dataclasses import replace
from typing import Annotated, Any, Literal

from graph.digits import whole_number
from graph.node import Choices, Widget, node
from graph.segs import Seg, Segs
from graph.stages import Stage
from graph.stages.parts import Details, MaskParts
from graph.values import Image, Items, Link, Mask

OPERATION, UTIL, LOGIC = "ImpactPack/Operation", "ImpactPack/Util", "ImpactPack/Logic"
LARGEST = sys.maxsize
Factor = Annotated[float, Widget(min=1.0, max=100, step=0.1)]
DropSize = Annotated[int, Widget(min=1, max=16384, step=1)]
Dilation = Annotated[int, Widget(min=-512, max=512, step=1)]
Radius = Annotated[int, Widget(min=0, max=100, step=1)]
Sigma = Annotated[float, Widget(min=0.1, max=100.0, step=0.1)]
Count = Annotated[int, Widget(min=0, max=LARGEST, step=1)]
Labels = Annotated[str, Widget(multiline=True)]
FILTERED = ("filtered_SEGS", "remained_SEGS")
GROUPS = ("eye", "eyebrow", "pupil")  # of which each face has a left and a right one
PRESETS = """all,hand,face,mouth,eyes,eyebrows,pupils,left_eyebrow,left_eye,left_pupil,
right_eyebrow,
right_eye,right_pupil,short_sleeved_shirt,long_sleeved_shirt,short_sleeved_outwear,
long_sleeved_outwear,vest,sling,shorts,trousers,skirt,short_sleeved_dress,long_sleeved_dress,
vest_dress,sling_dress,person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,
fire hydrant,stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,
backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,
baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,
banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,
dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,
refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"""
LABELS = tuple(PRESETS.replace("\n", "").split(","))


@node("MaskToSEGS", runs_on=Stage.IMAGE, display_name="MASK to SEGS", category=OPERATION)
def mask_to_segs(
    parts: MaskParts,
    *,
    mask: Mask,
    combined: bool = False,
    crop_factor: Factor = 3.0,
    bbox_fill: bool = False,
    drop_size: DropSize = 10,
    contour_fill: bool = False,
) -> Segs:
    """Take a mask apart into its areas, or take all of it as one."""
    return parts.mask_to_segs(
        mask,
        combined=combined,
        crop_factor=crop_factor,
        bbox_fill=bbox_fill,
        drop_size=drop_size,
        contour_fill=contour_fill,
    )


@node(
    "SegsToCombinedMask",
    runs_on=Stage.IMAGE,
    display_name="SEGS to MASK (combined)",
    category=OPERATION,
)
def combined_mask(parts: MaskParts, *, segs: Segs) -> Mask:
    """Put all parts into one mask."""
    return parts.combined_mask(segs)


@node(
    "ImpactSEGSToMaskList",
    runs_on=Stage.IMAGE,
    display_name="SEGS to Mask List",
    category=UTIL,
    list_outputs=(0,),
)
def mask_list(parts: MaskParts, *, segs: Segs) -> Annotated[Items, Link("MASK")]:
    """Give the mask of each part."""
    return Items(parts.mask_list(segs))


@node(
    "ImpactSEGSToMaskBatch",
    runs_on=Stage.IMAGE,
    display_name="SEGS to Mask Batch",
    category=UTIL,
)
def mask_batch(parts: MaskParts, *, segs: Segs) -> Mask:
    """Give the masks of all parts as a batch."""
    return parts.mask_batch(segs)


@node(
    "SEGSToImageList",
    runs_on=Stage.IMAGE,
    display_name="SEGSToImageList",
    category=UTIL,
    list_outputs=(0,),
)
def pictures(
    parts: MaskParts, *, segs: Segs, fallback_image_opt: Image | None = None
) -> Annotated[Items, Link("IMAGE")]:
    """Give the picture of each part."""
    return Items(parts.pictures_of(segs, fallback_image_opt))


@node(
    "SEGSPaste",
    runs_on=Stage.IMAGE,
    display_name="SEGSPaste",
    category="ImpactPack/Detailer",
)
def paste(
    details: Details,
    *,
    image: Image,
    segs: Segs,
    feather: Annotated[int, Widget(min=0, max=100, step=1)] = 5,
    alpha: Annotated[int, Widget(min=0, max=255, step=1)] = 255,
    ref_image_opt: Image | None = None,
) -> Image:
    """Lay the pictures of parts on pictures."""
    return details.paste_parts(image, segs, feather, alpha, ref_image_opt)


def _parted(segs: Segs, kept: list[Seg]) -> tuple[Segs, Segs]:
    chosen = {id(seg) for seg in kept}
    return segs.of(kept), segs.of(seg for seg in segs.items if id(seg) not in chosen)


def labelled(segs: Segs, labels: str) -> tuple[Segs, Segs]:
    """The parts with one of the labels, and the others."""
    wanted = {label.strip() for label in labels.split(",")}
    if "all" in wanted:
        return segs, segs.of(())
    pairs = {
        f"{side}_{group}" for group in GROUPS for side in ("left", "right") if f"{group}s" in wanted
    }
    return _parted(segs, [seg for seg in segs.items if seg.label in wanted | pairs])


@node(
    "ImpactSEGSLabelFilter",
    runs_on=Stage.IMAGE,
    display_name="SEGS Filter (label)",
    category=UTIL,
    outputs=FILTERED,
)
def filter_labels(
    _parts: MaskParts,
    *,
    segs: Segs,
    preset: Annotated[str, Choices(LABELS)],  # noqa: ARG001 - the editor adds it to `labels`
    labels: Labels,
) -> tuple[Segs, Segs]:
    """Choose parts by their labels."""
    return labelled(segs, labels)


@node(
    "ImpactSEGSLabelAssign",
    runs_on=Stage.IMAGE,
    display_name="SEGS Assign (label)",
    category=UTIL,
    outputs=("SEGS",),
)
def assign_labels(_parts: MaskParts, *, segs: Segs, labels: Labels) -> Segs:
    """Give the parts labels, in their order."""
    names = [label.strip() for label in labels.split(",")]
    named = [replace(seg, label=name) for seg, name in zip(segs.items, names, strict=False)]
    return segs.of((*named, *segs.items[len(named) :]))


def _measure(seg: Seg, target: str) -> float:
    x1, y1, x2, y2 = seg.crop_region
    wide, high = x2 - x1, y2 - y1
    return {
        "area(=w*h)": wide * high,
        "width": wide,
        "height": high,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "length_percent": max(high / wide, wide / high) * 100,
        "confidence": seg.confidence,
        "confidence(0-100)": seg.confidence * 100,
    }[target]


@node(
    "ImpactSEGSOrderedFilter",
    runs_on=Stage.IMAGE,
    display_name="SEGS Filter (ordered)",
    category=UTIL,
    outputs=FILTERED,
)
def filter_ordered(
    _parts: MaskParts,
    *,
    segs: Segs,
    target: Literal["area(=w*h)", "width", "height", "x1", "y1", "x2", "y2", "confidence"],
    order: bool = True,
    take_start: Count = 0,
    take_count: Count = 1,
) -> tuple[Segs, Segs]:
    """Choose the largest parts, the first from the left ..."""
    ranked = sorted(segs.items, key=lambda seg: _measure(seg, target), reverse=order)
    end = take_start + take_count
    return segs.of(ranked[take_start:end]), segs.of((*ranked[:take_start], *ranked[end:]))


@node(
    "ImpactSEGSRangeFilter",
    runs_on=Stage.IMAGE,
    display_name="SEGS Filter (range)",
    category=UTIL,
    outputs=FILTERED,
)
def filter_range(
    _parts: MaskParts,
    *,
    segs: Segs,
    target: Literal[
        "area(=w*h)",
        "width",
        "height",
        "x1",
        "y1",
        "x2",
        "y2",
        "length_percent",
        "confidence(0-100)",
    ],
    mode: bool = True,
    min_value: Count = 0,
    max_value: Count = 67108864,
) -> tuple[Segs, Segs]:
    """Choose parts whose measure is in a range, or outside of it."""
    kept = [s for s in segs.items if (min_value <= _measure(s, target) <= max_value) == mode]
    return _parted(segs, kept)


@node("ImpactSEGSPicker", runs_on=Stage.IMAGE, display_name="Picker (SEGS)", category=UTIL)
def pick(
    _parts: MaskParts,
    *,
    picks: Annotated[str, Widget(multiline=True, dynamicPrompts=False)],
    segs: Segs,
    fallback_image_opt: Image | None = None,  # noqa: ARG001 - for the editor's pictures
) -> Segs:
    """Choose parts by their numbers, from 1."""
    numbers = {whole_number(text.strip()) for text in picks.split(",")}
    return segs.of(seg for k, seg in enumerate(segs.items, 1) if k in numbers)


@node("ImpactSEGSConcat", runs_on=Stage.IMAGE, display_name="SEGS Concat", category=UTIL)
def concat(_parts: MaskParts, *, segs1: Segs, **others: Any) -> Segs:
    """Put the parts of `segs1`, `segs2` ... together, as far as they are of one size."""
    names = (name for name in others if name.startswith("segs"))
    named = sorted(names, key=lambda name: (len(name), name))  # segs2 before segs10
    given = [one for one in (segs1, *(others[name] for name in named)) if one.items]
    if not given:
        return Segs((0, 0))
    first: Segs = given[0]
    return first.of(seg for one in given if one.size == first.size for seg in one.items)


@node("ImpactSEGSMerge", runs_on=Stage.IMAGE, display_name="SEGS Merge", category=UTIL)
def merge(parts: MaskParts, *, segs: Segs) -> Segs:
    """Make one part of all."""
    return parts.merged(segs)


@node("EmptySegs", runs_on=Stage.INLINE, category=UTIL)
def empty() -> Segs:
    """Give no parts."""
    return Segs((0, 0))


@node(
    "ImpactCount_Elts_in_SEGS",
    runs_on=Stage.IMAGE,
    display_name="Count Elts in SEGS",
    category=UTIL,
)
def count(_parts: MaskParts, *, segs: Segs) -> int:
    """Count the parts."""
    return len(segs.items)


@node("ImpactIsNotEmptySEGS", runs_on=Stage.IMAGE, display_name="SEGS isn't Empty", category=LOGIC)
def not_empty(_parts: MaskParts, *, segs: Segs) -> bool:
    """Whether there are parts."""
    return bool(segs.items)


@node(
    "ImpactSegsAndMask",
    runs_on=Stage.IMAGE,
    display_name="Pixelwise(SEGS & MASK)",
    category=OPERATION,
)
def within_mask(parts: MaskParts, *, segs: Segs, mask: Mask) -> Segs:
    """Keep of each part what a mask covers."""
    return parts.within(segs, [mask[0] if mask.ndim == 3 else mask])


@node(
    "ImpactSegsAndMaskForEach",
    runs_on=Stage.IMAGE,
    display_name="Pixelwise(SEGS & MASKS ForEach)",
    category=OPERATION,
)
def within_masks(parts: MaskParts, *, segs: Segs, masks: Mask) -> Segs:
    """Keep of each part what its own mask covers."""
    return parts.within(segs.of(segs.items[: len(masks)]), list(masks))


@node(
    "ImpactDilateMaskInSEGS", runs_on=Stage.IMAGE, display_name="Dilate Mask (SEGS)", category=UTIL
)
def dilate_segs(parts: MaskParts, *, segs: Segs, dilation: Dilation = 10) -> Segs:
    """Dilate the mask of each part."""
    return parts.dilate_segs(segs, dilation)


@node(
    "ImpactGaussianBlurMaskInSEGS",
    runs_on=Stage.IMAGE,
    display_name="Gaussian Blur Mask (SEGS)",
    category=UTIL,
)
def blur_segs(
    parts: MaskParts, *, segs: Segs, kernel_size: Radius = 10, sigma: Sigma = 10.0
) -> Segs:
    """Blur the mask of each part."""
    return parts.blur_segs(segs, kernel_size, sigma)


@node("ImpactDilateMask", runs_on=Stage.IMAGE, display_name="Dilate Mask", category=UTIL)
def dilate_mask(parts: MaskParts, *, mask: Mask, dilation: Dilation = 10) -> Mask:
    """Dilate a mask with a square, or erode it."""
    return parts.dilate_mask(mask, dilation)


@node(
    "ImpactGaussianBlurMask", runs_on=Stage.IMAGE, display_name="Gaussian Blur Mask", category=UTIL
)
def blur_mask(
    parts: MaskParts, *, mask: Mask, kernel_size: Radius = 10, sigma: Sigma = 10.0
) -> Mask:
    """Blur a mask."""
    return parts.blur_mask(mask, kernel_size, sigma)


@node("ToBinaryMask", runs_on=Stage.IMAGE, category=OPERATION)
def to_binary(
    _parts: MaskParts, *, mask: Mask, threshold: Annotated[int, Widget(min=1, max=255)] = 20
) -> Mask:
    """Give 1 where a mask is above a level."""
    return (mask > threshold / 255.0).float()


@node(
    "BitwiseAndMask", runs_on=Stage.IMAGE, display_name="Pixelwise(MASK & MASK)", category=OPERATION
)
def and_masks(parts: MaskParts, *, mask1: Mask, mask2: Mask) -> Mask:
    """Combine the bits of two masks."""
    return parts.combine_levels(mask1, mask2, "and")


@node(
    "SubtractMask", runs_on=Stage.IMAGE, display_name="Pixelwise(MASK - MASK)", category=OPERATION
)
def subtract_masks(parts: MaskParts, *, mask1: Mask, mask2: Mask) -> Mask:
    """Take a mask away from another."""
    return parts.combine_levels(mask1, mask2, "subtract")


@node("AddMask", runs_on=Stage.IMAGE, display_name="Pixelwise(MASK + MASK)", category=OPERATION)
def add_masks(parts: MaskParts, *, mask1: Mask, mask2: Mask) -> Mask:
    """Add a mask to another."""
    return parts.combine_levels(mask1, mask2, "add")
