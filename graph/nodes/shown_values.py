"""Nodes that show values and comparisons, as temporary outputs."""

import json
from typing import Annotated, Any

from graph.node import Hidden, node
from graph.shown import shown_text
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.values import Image, Link

LONGEST = 100_000  # characters that are shown of a value


def as_text(value: Any, indent: int | None = None) -> str:
    """A value as people read it: text as it is, numbers, JSON, or what Python says of it."""
    if value is None or isinstance(value, str | int | float):
        said = str(value)
    else:
        try:
            said = json.dumps(value, indent=indent, ensure_ascii=indent is None)
        except (TypeError, ValueError, RecursionError):
            said = str(value)
    return shown_text(said, LONGEST)


async def show_pair(
    outputs: OutputFunctions, first: tuple[str, Any], second: tuple[str, Any]
) -> None:
    """Show two batches of pictures, each under a prefix, as far as they are there."""
    for prefix, images in (first, second):
        if images is not None:
            await outputs.save_images(images, prefix, temporary=True)


@node(
    "PreviewAny",
    runs_on=Stage.OUTPUT,
    display_name="Preview as Text",
    category="utilities",
    output_node=True,
)
async def preview_any(outputs: OutputFunctions, *, source: Annotated[Any, Link("*")]) -> str:
    """Show a value as text, and pass the text on."""
    text = source if isinstance(source, str) else as_text(source, indent=4)
    await outputs.show_text(text)
    return text


@node(
    "ImageCompare",
    runs_on=Stage.OUTPUT,
    display_name="Compare Images",
    category="image",
    output_node=True,
    experimental=True,
)
async def compare_images(
    outputs: OutputFunctions,
    *,
    image_a: Image | None = None,
    image_b: Image | None = None,
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001 - `outputs` has both
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Show two pictures, to be compared."""
    await show_pair(outputs, ("comfy.compare.a", image_a), ("comfy.compare.b", image_b))
