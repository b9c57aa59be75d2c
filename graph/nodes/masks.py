"""Masks: made, combined and changed, and alpha channels."""

from typing import Annotated, Literal

from graph.node import Hidden, Upload, Widget, node
from graph.stages import Stage
from graph.stages.image import Masks
from graph.stages.output import OutputFunctions
from graph.values import Image, InputFile, Mask

Pixels = Annotated[int, Widget(min=1, max=16384, step=1)]
Offset = Annotated[int, Widget(min=0, max=16384, step=1)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Color = Annotated[int, Widget(min=0, max=0xFFFFFF, step=1, display="color")]
MaskOperation = Literal["multiply", "add", "subtract", "and", "or", "xor"]
PorterDuffMode = Literal[
    "ADD", "CLEAR", "DARKEN", "DST", "DST_ATOP", "DST_IN", "DST_OUT", "DST_OVER", "LIGHTEN",
    "MULTIPLY", "OVERLAY", "SCREEN", "SRC", "SRC_ATOP", "SRC_IN", "SRC_OUT", "SRC_OVER", "XOR",
]  # fmt: skip


@node("LoadImageMask", runs_on=Stage.IMAGE, display_name="Load Image (as Mask)", category="mask")
def load_mask(
    masks: Masks,
    *,
    image: Annotated[InputFile, Upload("image")],
    channel: Literal["alpha", "red", "green", "blue"],
) -> Mask:
    """Read one channel of a picture as a mask."""
    return masks.decode_mask(image.content, channel)


@node("SolidMask", runs_on=Stage.IMAGE, category="mask")
def solid_mask(
    masks: Masks, *, value: Share = 1.0, width: Pixels = 512, height: Pixels = 512
) -> Mask:
    """Make a mask of one value."""
    return masks.solid_mask(value, width, height)


@node("MaskToImage", runs_on=Stage.IMAGE, display_name="Convert Mask to Image", category="mask")
def mask_to_image(masks: Masks, *, mask: Mask) -> Image:
    """Turn masks into grey pictures."""
    return masks.mask_to_image(mask)


@node("ImageToMask", runs_on=Stage.IMAGE, display_name="Convert Image to Mask", category="mask")
def image_to_mask(
    masks: Masks, *, image: Image, channel: Literal["red", "green", "blue", "alpha"]
) -> Mask:
    """Take one channel of pictures as masks."""
    return masks.image_to_mask(image, channel)


@node("ImageColorToMask", runs_on=Stage.IMAGE, category="mask")
def color_to_mask(masks: Masks, *, image: Image, color: Color = 0) -> Mask:
    """Mask where pictures have exactly one colour."""
    return masks.color_to_mask(image, color)


@node("InvertMask", runs_on=Stage.IMAGE, category="mask")
def invert_mask(masks: Masks, *, mask: Mask) -> Mask:
    """Mask what was not masked."""
    return masks.invert_mask(mask)


@node("ThresholdMask", runs_on=Stage.IMAGE, category="mask")
def threshold_mask(masks: Masks, *, mask: Mask, value: Share = 0.5) -> Mask:
    """Make masks hard: 1 above a value, else 0."""
    return masks.threshold_mask(mask, value)


@node("CropMask", runs_on=Stage.IMAGE, category="mask")
def crop_mask(
    masks: Masks,
    *,
    mask: Mask,
    x: Offset = 0,
    y: Offset = 0,
    width: Pixels = 512,
    height: Pixels = 512,
) -> Mask:
    """Cut a rectangle out of masks."""
    return masks.crop_mask(mask, x, y, width, height)


@node("MaskComposite", runs_on=Stage.IMAGE, category="mask")
def combine_masks(
    masks: Masks,
    *,
    destination: Mask,
    source: Mask,
    x: Offset = 0,
    y: Offset = 0,
    operation: MaskOperation,
) -> Mask:
    """Lay a mask over another."""
    return masks.combine_masks(destination, source, x, y, operation)


@node("FeatherMask", runs_on=Stage.IMAGE, category="mask")
def feather_mask(
    masks: Masks,
    *,
    mask: Mask,
    left: Offset = 0,
    top: Offset = 0,
    right: Offset = 0,
    bottom: Offset = 0,
) -> Mask:
    """Let masks fade out towards their edges."""
    return masks.feather_mask(mask, left, top, right, bottom)


@node("GrowMask", runs_on=Stage.IMAGE, category="mask")
def grow_mask(
    masks: Masks,
    *,
    mask: Mask,
    expand: Annotated[int, Widget(min=-16384, max=16384, step=1)] = 0,
    tapered_corners: bool = True,
) -> Mask:
    """Grow masks by so many pixels, or shrink them below 0."""
    return masks.grow_mask(mask, expand, tapered_corners)


@node(
    "PorterDuffImageComposite",
    runs_on=Stage.IMAGE,
    display_name="Porter-Duff Image Composite",
    category="mask/compositing",
)
def porter_duff(
    masks: Masks,
    *,
    source: Image,
    source_alpha: Mask,
    destination: Image,
    destination_alpha: Mask,
    mode: PorterDuffMode = "DST",
) -> tuple[Image, Mask]:
    """Combine two pictures and their alpha."""
    return masks.porter_duff(source, source_alpha, destination, destination_alpha, mode)


@node(
    "SplitImageWithAlpha",
    runs_on=Stage.IMAGE,
    display_name="Split Image with Alpha",
    category="mask/compositing",
)
def split_alpha(masks: Masks, *, image: Image) -> tuple[Image, Mask]:
    """Take pictures apart into colours and a mask."""
    return masks.split_alpha(image)


@node(
    "JoinImageWithAlpha",
    runs_on=Stage.IMAGE,
    display_name="Join Image with Alpha",
    category="mask/compositing",
)
def join_alpha(masks: Masks, *, image: Image, alpha: Mask) -> Image:
    """Give pictures an alpha channel."""
    return masks.join_alpha(image, alpha)


@node("MaskPreview", runs_on=Stage.OUTPUT, category="mask", output_node=True)
async def preview_mask(
    outputs: OutputFunctions,
    *,
    mask: Mask,
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001 - `outputs` has both
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Show masks as grey pictures without keeping them for long."""
    await outputs.save_images(mask[..., None], "ComfyUI", temporary=True)
