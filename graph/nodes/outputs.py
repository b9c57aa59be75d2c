"""Output nodes for pictures."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from graph.dynamic_inputs import Option, Options
from graph.hooks import Hooks
from graph.node import Hidden, Input, Widget, node
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.values import Image


@node(
    "SaveImage",
    runs_on=Stage.OUTPUT,
    display_name="Save Image",
    category="image",
    output_node=True,
)
async def save_image(
    outputs: OutputFunctions,
    *,
    images: Image,
    filename_prefix: str = "ComfyUI",
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001 - `outputs` has both
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Keep pictures as outputs of the job."""
    await outputs.save_images(images, filename_prefix)


def _how(bit_depths: tuple[str, ...], colors: tuple[str, ...]) -> Mapping[str, Input]:
    """The inputs of a format."""
    choices = {"bit_depth": bit_depths, "input_color_space": colors}
    widget = Widget(advanced=True)
    return {
        name: Input(name, "COMBO", default=these[0], choices=these, widget=widget)
        for name, these in choices.items()
    }


FORMATS = Options(
    (
        Option("png", _how(("8-bit", "16-bit"), ("sRGB",))),
        Option("exr", _how(("32-bit float",), ("sRGB", "HDR", "linear"))),
    )
)


@node(
    "SaveImageAdvanced",
    runs_on=Stage.OUTPUT,
    display_name="Save Image (Advanced)",
    category="image",
    output_node=True,
    outputs=("images",),
)
async def save_image_advanced(
    outputs: OutputFunctions,
    *,
    images: Image,
    filename_prefix: Annotated[str, Widget(multiline=False)] = "ComfyUI",
    format: Annotated[Any, FORMATS],
) -> Image:
    """Keep pictures as PNG of 8 or 16 bits, or as OpenEXR."""
    await outputs.save_images_as(
        images,
        filename_prefix,
        format=format["format"],
        bit_depth=format["bit_depth"],
        colors=format.get("input_color_space", "sRGB"),
    )
    return images


@node(
    "PreviewImage",
    runs_on=Stage.OUTPUT,
    display_name="Preview Image",
    category="image",
    output_node=True,
)
async def preview_image(
    outputs: OutputFunctions,
    *,
    images: Image,
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Show pictures without keeping them for long."""
    await outputs.save_images(images, "ComfyUI", temporary=True)


@node(
    "SaveImageWebsocket",
    runs_on=Stage.OUTPUT,
    category="api/image",
    output_node=True,
    hooks=Hooks(changed=lambda _: math.nan),
)
async def send_images(outputs: OutputFunctions, *, images: Image) -> None:
    """Send pictures to the client that posted the job, or keep them as previews if none did."""
    await outputs.send_images(images)
