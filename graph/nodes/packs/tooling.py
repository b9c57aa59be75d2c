"""comfyui-tooling-nodes: pictures in and out of requests, as Krita's plugin uses them."""

import math
import re
from typing import Annotated, Literal

from graph.errors import NotAvailableError
from graph.hooks import Hooks
from graph.node import Upload, Widget, node
from graph.stages import Stage
from graph.stages.image import Masks, Pictures
from graph.stages.inpainting import Inpainting
from graph.stages.output import OutputFunctions
from graph.values import Image, InputFile, Mask

CATEGORY = "external_tooling"
DIRECTIVE = re.compile(r"lang:(\w\w)\b ?")
Encoded = Annotated[InputFile, Upload("image", "data:;base64,{}")]
Kept = Annotated[InputFile, Upload("image", "etn/{}")]
Format = Literal["PNG", "JPEG"]


@node(
    "ETN_LoadImageBase64",
    runs_on=Stage.IMAGE,
    display_name="Load Image (Base64)",
    category=CATEGORY,
    outputs=("image", "mask"),
)
def load_encoded_image(images: Pictures, *, image: Encoded) -> tuple[Image, Mask]:
    """Read a picture that is in the workflow itself, and its alpha."""
    return images.decode_with_alpha(image.content)


@node(
    "ETN_LoadMaskBase64",
    runs_on=Stage.IMAGE,
    display_name="Load Mask (Base64)",
    category=CATEGORY,
    outputs=("mask",),
)
def load_encoded_mask(masks: Masks, *, mask: Encoded) -> Mask:
    """Read a mask that is in the workflow itself: the first channel of a picture."""
    return masks.decode_mask(mask.content, "red")


@node(
    "ETN_LoadImageCache",
    runs_on=Stage.IMAGE,
    display_name="Load Image from Cache",
    category=CATEGORY,
    outputs=("image", "mask"),
)
def load_kept_image(images: Pictures, *, id: Kept) -> tuple[Image, Mask]:
    """Read a picture that was put to /api/etn/image/{id}, and its alpha."""
    return images.decode_with_alpha(id.content)


@node(
    "ETN_ApplyMaskToImage",
    runs_on=Stage.IMAGE,
    display_name="Apply Mask to Image",
    category=CATEGORY,
)
def apply_mask(stage: Inpainting, *, image: Image, mask: Mask) -> Image:
    """Make pictures opaque where a mask is, and transparent elsewhere."""
    return stage.with_opacity(image, mask)


@node(
    "ETN_SaveImageCache",
    runs_on=Stage.OUTPUT,
    display_name="Save Image to Cache",
    category=CATEGORY,
    output_node=True,
)
async def save_kept_images(
    outputs: OutputFunctions,
    *,
    images: Image,
    format: Format = "PNG",  # noqa: ARG001 - the content type is told
) -> None:
    """Keep pictures for a client that fetches them from /api/etn/image/{id}."""
    await outputs.save_images(images, "etn", temporary=True)


@node(
    "ETN_SendImageWebSocket",
    runs_on=Stage.OUTPUT,
    display_name="Send Image (WebSocket)",
    category=CATEGORY,
    output_node=True,
    hooks=Hooks(changed=lambda _: math.nan),
)
async def send_images(
    outputs: OutputFunctions,
    *,
    images: Image,
    format: Format = "PNG",  # noqa: ARG001 - the frame's header tells
) -> None:
    """Send pictures to the client that posted the job."""
    await outputs.send_images(images)


@node(
    "ETN_Translate",
    runs_on=Stage.INLINE,
    display_name="Translate Text",
    category=CATEGORY,
    outputs=("translation",),
)
def translate(*, text: Annotated[str, Widget(multiline=True)]) -> str:
    """Pass on what is in English already."""
    others = {name for name in DIRECTIVE.findall(text) if name != "en"}
    if others:
        needed = f"translation from {', '.join(sorted(others))}, which is not served"
        raise NotAvailableError("ETN_Translate", needed)
    return DIRECTIVE.sub("", text)
