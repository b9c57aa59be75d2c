"""Pictures: loaded, made, cut, turned, joined and batched."""

from typing import Annotated, Literal, cast

from graph.node import Hidden, Upload, Widget, node
from graph.stages import Stage
from graph.stages.image import Pictures
from graph.values import Image, InputFile, Items, Link, Mask

ImageFile = Annotated[InputFile, Upload("image")]
Pixels = Annotated[int, Widget(min=1, max=16384, step=1)]
Offset = Annotated[int, Widget(min=0, max=16384, step=1)]
Border = Annotated[int, Widget(min=0, max=16384, step=8)]
Count = Annotated[int, Widget(min=1, max=4096)]
Color = Annotated[int, Widget(min=0, max=0xFFFFFF, step=1, display="color")]
Rotation = Literal["none", "90 degrees", "180 degrees", "270 degrees"]
FlipMethod = Literal["x-axis: vertically", "y-axis: horizontally"]
Direction = Literal["right", "down", "left", "up"]
SpacingColor = Literal["white", "black", "red", "green", "blue"]
SpacingWidth = Annotated[int, Widget(min=0, max=1024, step=2)]


@node("LoadImage", runs_on=Stage.IMAGE, display_name="Load Image", category="image")
def load_image(images: Pictures, *, image: ImageFile) -> tuple[Image, Mask]:
    """Read a picture, and a mask of where it is transparent."""
    return images.decode_image(image.content)


@node(
    "LoadImageOutput",
    runs_on=Stage.IMAGE,
    display_name="Load Image (from Outputs)",
    category="image",
    experimental=True,
)
def load_output(
    images: Pictures, *, image: Annotated[InputFile, Upload("image", saved=True)]
) -> tuple[Image, Mask]:
    """Read a picture that a job saved, and a mask of where it is transparent."""
    return images.decode_image(image.content)


@node("WebcamCapture", runs_on=Stage.IMAGE, display_name="Webcam Capture", category="image")
def load_capture(
    images: Pictures,
    *,
    image: Annotated[InputFile, Upload("image", type="WEBCAM")],
    width: Annotated[int, Widget(min=0, max=16384, step=1)] = 0,  # noqa: ARG001
    height: Annotated[int, Widget(min=0, max=16384, step=1)] = 0,  # noqa: ARG001
    capture_on_queue: bool = True,  # noqa: ARG001 - the editor has heard it
) -> Image:
    """Read a picture that the editor took and uploaded."""
    return images.decode_image(image.content)[0]


@node("EmptyImage", runs_on=Stage.IMAGE, category="image")
def empty_image(
    images: Pictures,
    *,
    width: Pixels = 512,
    height: Pixels = 512,
    batch_size: Count = 1,
    color: Color = 0,
) -> Image:
    """Make pictures of one colour."""
    return images.empty_image(width, height, batch_size, color)


@node(
    "GetImageSize",
    runs_on=Stage.IMAGE,
    display_name="Get Image Size",
    category="image",
    outputs=("width", "height", "batch_size"),
)
def get_image_size(
    images: Pictures,
    *,
    image: Image,
    unique_id: Annotated[str, Hidden.NODE_ID] = "",  # noqa: ARG001 - the editor's
) -> tuple[int, int, int]:
    """Give the width and height of pictures, and how many there are."""
    return images.image_size(image)


@node("ImageCrop", runs_on=Stage.IMAGE, display_name="Image Crop", category="image/transform")
def crop_image(
    images: Pictures,
    *,
    image: Image,
    width: Pixels = 512,
    height: Pixels = 512,
    x: Offset = 0,
    y: Offset = 0,
) -> Image:
    """Cut a rectangle out of pictures."""
    return images.crop_image(image, width, height, x, y)


@node("ImageRotate", runs_on=Stage.IMAGE, category="image/transform")
def rotate_image(images: Pictures, *, image: Image, rotation: Rotation) -> Image:
    """Turn pictures clockwise."""
    return images.rotate_image(image, rotation)


@node("ImageFlip", runs_on=Stage.IMAGE, category="image/transform")
def flip_image(images: Pictures, *, image: Image, flip_method: FlipMethod) -> Image:
    """Turn pictures upside down, or mirror them."""
    return images.flip_image(image, flip_method)


@node(
    "ImagePadForOutpaint",
    runs_on=Stage.IMAGE,
    display_name="Pad Image for Outpainting",
    category="image",
)
def pad_for_outpaint(
    images: Pictures,
    *,
    image: Image,
    left: Border = 0,
    top: Border = 0,
    right: Border = 0,
    bottom: Border = 0,
    feathering: Offset = 40,
) -> tuple[Image, Mask]:
    """Put pictures on a larger grey canvas, and mask what is to be painted."""
    return images.pad_for_outpaint(image, (left, top, right, bottom), feathering)


@node("ImageStitch", runs_on=Stage.IMAGE, display_name="Image Stitch", category="image/transform")
def stitch_images(
    images: Pictures,
    *,
    image1: Image,
    direction: Direction = "right",
    match_image_size: bool = True,
    spacing_width: SpacingWidth = 0,
    spacing_color: SpacingColor = "white",
    image2: Image | None = None,
) -> Image:
    """Put a second picture beside the first."""
    if image2 is None:
        return image1
    return images.stitch_images(
        image1,
        image2,
        direction,
        match_size=match_image_size,
        spacing_px=spacing_width,
        spacing_color=spacing_color,
    )


@node("ImageBatch", runs_on=Stage.IMAGE, display_name="Batch Images", category="image")
def batch_images(images: Pictures, *, image1: Image, image2: Image) -> Image:
    """Make one batch of two, in the size of the first."""
    return images.batch_images(image1, image2)


@node("RepeatImageBatch", runs_on=Stage.IMAGE, category="image/batch")
def repeat_images(images: Pictures, *, image: Image, amount: Count = 1) -> Image:
    """Repeat a batch of pictures."""
    return images.repeat_images(image, amount)


@node("ImageFromBatch", runs_on=Stage.IMAGE, category="image/batch")
def images_from_batch(
    images: Pictures,
    *,
    image: Image,
    batch_index: Annotated[int, Widget(min=0, max=4095)] = 0,
    length: Count = 1,
) -> Image:
    """Take some pictures out of a batch."""
    return images.images_from_batch(image, batch_index, length)


@node(
    "RebatchImages",
    runs_on=Stage.IMAGE,
    display_name="Rebatch Images",
    category="image/batch",
    input_is_list=True,
    list_outputs=(0,),
)
def rebatch_images(
    stage: Pictures,
    *,
    images: Image,
    batch_size: Count = 1,
) -> Annotated[Items, Link("IMAGE")]:
    """Put the pictures of many batches into batches of one length."""
    (size, *_) = cast(list[int], batch_size)  # lists come in as lists
    return Items(stage.rebatch_images(images, size))
