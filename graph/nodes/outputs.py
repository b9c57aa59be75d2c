"""Output nodes: what a job is run for."""

import math
from typing import Annotated

from graph.hooks import Hooks
from graph.node import Hidden, node
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
