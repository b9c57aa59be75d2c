"""Pictures made ready for an IP-Adapter's image encoder."""

from typing import Annotated, Literal

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.image import Pictures
from graph.values import Image


@node(
    "PrepImageForClipVision",
    runs_on=Stage.IMAGE,
    display_name="Prep Image For ClipVision",
    category="ipadapter/utils",
)
def prepare_for_clip(
    pictures: Pictures,
    *,
    image: Image,
    interpolation: Literal["LANCZOS", "BICUBIC", "HAMMING", "BILINEAR", "BOX", "NEAREST"],
    crop_position: Literal["top", "bottom", "left", "right", "center", "pad"],
    sharpening: Annotated[float, Widget(min=0, max=1, step=0.05)] = 0.0,
) -> Image:
    """Crop or pad pictures to squares in the size in which an image encoder looks."""
    return pictures.prepare_for_clip(image, interpolation, crop_position, sharpening)


@node(
    "IPAdapterNoise",
    runs_on=Stage.IMAGE,
    display_name="IPAdapter Noise",
    category="ipadapter/utils",
)
def noisy_picture(
    pictures: Pictures,
    *,
    type: Literal["fade", "dissolve", "gaussian", "shuffle"],
    strength: Annotated[float, Widget(min=0, max=1, step=0.05)] = 1.0,
    blur: Annotated[int, Widget(min=0, max=32, step=1)] = 0,
    image_optional: Image | None = None,
) -> Image:
    """Give noise, alone or over pictures, for a model to go away from."""
    return pictures.noisy_picture(image_optional, type, strength, blur)
