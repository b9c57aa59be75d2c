"""VideoHelperSuite's nodes for batches: split, merged, thinned, counted and repeated."""

from typing import Annotated, Any, Literal

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.batches import Batches, MergeStrategy
from graph.values import Image, Latent, Mask

CATEGORY = "Video Helper Suite 🎥🅥🅗🅢"
FARTHEST = 2**53 - 1
Index = Annotated[int, Widget(min=0, max=FARTHEST, step=1)]
Every = Annotated[int, Widget(min=1, max=FARTHEST, step=1)]
Crop = Literal["disabled", "center"]
ScaleMethod = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]


def _kind(name: str) -> Any:
    return f"{CATEGORY}/{name}"


@node(
    "VHS_SplitLatents",
    runs_on=Stage.IMAGE,
    category=_kind("latent"),
    outputs=("LATENT_A", "A_count", "LATENT_B", "B_count"),
)
def split_latents(
    batches: Batches, *, latents: Latent, split_index: Index = 0
) -> tuple[Latent, int, Latent, int]:
    """Cut a batch of latents in two."""
    first, second = batches.split_batch(latents, split_index)
    return first, batches.batch_count(first), second, batches.batch_count(second)


@node(
    "VHS_SplitImages",
    runs_on=Stage.IMAGE,
    category=_kind("image"),
    outputs=("IMAGE_A", "A_count", "IMAGE_B", "B_count"),
)
def split_images(
    batches: Batches, *, images: Image, split_index: Index = 0
) -> tuple[Image, int, Image, int]:
    """Cut a batch of pictures in two."""
    first, second = batches.split_batch(images, split_index)
    return first, batches.batch_count(first), second, batches.batch_count(second)


@node(
    "VHS_SplitMasks",
    runs_on=Stage.IMAGE,
    category=_kind("mask"),
    outputs=("MASK_A", "A_count", "MASK_B", "B_count"),
)
def split_masks(
    batches: Batches, *, mask: Mask, split_index: Index = 0
) -> tuple[Mask, int, Mask, int]:
    """Cut a batch of masks in two."""
    first, second = batches.split_batch(mask, split_index)
    return first, batches.batch_count(first), second, batches.batch_count(second)


@node(
    "VHS_MergeLatents",
    runs_on=Stage.IMAGE,
    category=_kind("latent"),
    outputs=("LATENT", "count"),
)
def merge_latents(
    batches: Batches,
    *,
    latents_A: Latent,  # noqa: N803 - the name on the wire
    latents_B: Latent,  # noqa: N803
    merge_strategy: MergeStrategy,
    scale_method: ScaleMethod,
    crop: Crop,
) -> tuple[Latent, int]:
    """Put one batch of latents behind another, scaled to one size."""
    merged = batches.merge_batches(latents_A, latents_B, merge_strategy, scale_method, crop)
    return merged, batches.batch_count(merged)


@node(
    "VHS_MergeImages",
    runs_on=Stage.IMAGE,
    category=_kind("image"),
    outputs=("IMAGE", "count"),
)
def merge_images(
    batches: Batches,
    *,
    images_A: Image,  # noqa: N803
    images_B: Image,  # noqa: N803
    merge_strategy: MergeStrategy,
    scale_method: ScaleMethod,
    crop: Crop,
) -> tuple[Image, int]:
    """Put one batch of pictures behind another, scaled to one size."""
    merged = batches.merge_batches(images_A, images_B, merge_strategy, scale_method, crop)
    return merged, batches.batch_count(merged)


@node(
    "VHS_MergeMasks",
    runs_on=Stage.IMAGE,
    category=_kind("mask"),
    outputs=("MASK", "count"),
)
def merge_masks(
    batches: Batches,
    *,
    mask_A: Mask,  # noqa: N803
    mask_B: Mask,  # noqa: N803
    merge_strategy: MergeStrategy,
    scale_method: ScaleMethod,
    crop: Crop,
) -> tuple[Mask, int]:
    """Put one batch of masks behind another, scaled to one size."""
    merged = batches.merge_batches(mask_A, mask_B, merge_strategy, scale_method, crop)
    return merged, batches.batch_count(merged)


@node("VHS_GetLatentCount", runs_on=Stage.IMAGE, category=_kind("latent"), outputs=("count",))
def latent_count(batches: Batches, *, latents: Latent) -> int:
    """Count the latents of a batch."""
    return batches.batch_count(latents)


@node("VHS_GetImageCount", runs_on=Stage.IMAGE, category=_kind("image"), outputs=("count",))
def image_count(batches: Batches, *, images: Image) -> int:
    """Count the pictures of a batch."""
    return batches.batch_count(images)


@node("VHS_GetMaskCount", runs_on=Stage.IMAGE, category=_kind("mask"), outputs=("count",))
def mask_count(batches: Batches, *, mask: Mask) -> int:
    """Count the masks of a batch."""
    return batches.batch_count(mask)


@node(
    "VHS_DuplicateLatents",
    runs_on=Stage.IMAGE,
    category=_kind("latent"),
    outputs=("LATENT", "count"),
)
def duplicate_latents(
    batches: Batches, *, latents: Latent, multiply_by: Every = 1
) -> tuple[Latent, int]:
    """Repeat a batch of latents."""
    repeated = batches.repeat_batch(latents, multiply_by)
    return repeated, batches.batch_count(repeated)


@node(
    "VHS_DuplicateImages",
    runs_on=Stage.IMAGE,
    category=_kind("image"),
    outputs=("IMAGE", "count"),
)
def duplicate_images(
    batches: Batches, *, images: Image, multiply_by: Every = 1
) -> tuple[Image, int]:
    """Repeat a batch of pictures."""
    repeated = batches.repeat_batch(images, multiply_by)
    return repeated, batches.batch_count(repeated)


@node(
    "VHS_DuplicateMasks",
    runs_on=Stage.IMAGE,
    category=_kind("mask"),
    outputs=("MASK", "count"),
)
def duplicate_masks(batches: Batches, *, mask: Mask, multiply_by: Every = 1) -> tuple[Mask, int]:
    """Repeat a batch of masks."""
    repeated = batches.repeat_batch(mask, multiply_by)
    return repeated, batches.batch_count(repeated)


@node(
    "VHS_SelectEveryNthLatent",
    runs_on=Stage.IMAGE,
    category=_kind("latent"),
    outputs=("LATENT", "count"),
)
def every_nth_latent(
    batches: Batches, *, latents: Latent, select_every_nth: Every = 1, skip_first_latents: Index = 0
) -> tuple[Latent, int]:
    """Take every so many of a batch of latents."""
    chosen = batches.every_nth(latents, select_every_nth, skip_first_latents)
    return chosen, batches.batch_count(chosen)


@node(
    "VHS_SelectEveryNthImage",
    runs_on=Stage.IMAGE,
    category=_kind("image"),
    outputs=("IMAGE", "count"),
)
def every_nth_image(
    batches: Batches, *, images: Image, select_every_nth: Every = 1, skip_first_images: Index = 0
) -> tuple[Image, int]:
    """Take every so many of a batch of pictures."""
    chosen = batches.every_nth(images, select_every_nth, skip_first_images)
    return chosen, batches.batch_count(chosen)


@node(
    "VHS_SelectEveryNthMask",
    runs_on=Stage.IMAGE,
    category=_kind("mask"),
    outputs=("MASK", "count"),
)
def every_nth_mask(
    batches: Batches, *, mask: Mask, select_every_nth: Every = 1, skip_first_masks: Index = 0
) -> tuple[Mask, int]:
    """Take every so many of a batch of masks."""
    chosen = batches.every_nth(mask, select_every_nth, skip_first_masks)
    return chosen, batches.batch_count(chosen)
