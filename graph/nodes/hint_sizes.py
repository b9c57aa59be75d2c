"""The sizes at which hints lose nothing, under the ControlNet-aux pack's names."""

from typing import Annotated

from graph.latent_sizes import NODE_PX
from graph.node import Choices, Widget, node
from graph.stages import Stage
from graph.stages.image import Sizes
from graph.values import Image, Latent

CATEGORY = "ControlNet Preprocessors"
WHOLE = "Resize and Fill"  # the picture is all seen; in the other modes it fills what is drawn
Pixels = Annotated[int, Widget(min=64, max=8192, step=8)]
Mode = Annotated[str, Choices(("Just Resize", "Crop and Resize", WHOLE))]
SIZE = ("IMAGE_GEN_WIDTH (INT)", "IMAGE_GEN_HEIGHT (INT)")


@node(
    "PixelPerfectResolution",
    runs_on=Stage.IMAGE,
    display_name="Pixel Perfect Resolution",
    category=CATEGORY,
    outputs=("RESOLUTION (INT)",),
)
def pixel_perfect_resolution(
    images: Sizes,
    *,
    original_image: Image,
    image_gen_width: Pixels = 512,
    image_gen_height: Pixels = 512,
    resize_mode: Mode = "Just Resize",
) -> int:
    """Give a hint's shorter side for a picture that is drawn in this size."""
    width, height, _ = images.image_size(original_image)
    scales = (image_gen_height / height, image_gen_width / width)
    scale = min(scales) if resize_mode == WHOLE else max(scales)
    return round(scale * min(width, height))


@node(
    "ImageGenResolutionFromImage",
    runs_on=Stage.IMAGE,
    display_name="Generation Resolution From Image",
    category=CATEGORY,
    outputs=SIZE,
)
def size_of_image(images: Sizes, *, image: Image) -> tuple[int, int]:
    """Give the width and height of a picture."""
    width, height, _ = images.image_size(image)
    return width, height


@node(
    "ImageGenResolutionFromLatent",
    runs_on=Stage.SAMPLE,
    display_name="Generation Resolution From Latent",
    category=CATEGORY,
    outputs=SIZE,
)
def size_of_latent(_: object, *, latent: Latent) -> tuple[int, int]:
    """Give the width and height of the picture that a latent becomes."""
    height, width = latent.samples.shape[-2:]
    return width * NODE_PX, height * NODE_PX
