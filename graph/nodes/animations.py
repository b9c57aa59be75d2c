"""Output nodes that save a batch of pictures as one animation."""

from typing import Annotated, Literal

from graph.node import Hidden, Widget, node
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.values import Image

Fps = Annotated[float, Widget(min=0.01, max=1000.0, step=0.01)]
EFFORTS = {"default": 4, "fastest": 0, "slowest": 6}


@node(
    "SaveAnimatedWEBP",
    runs_on=Stage.OUTPUT,
    category="image/animation",
    output_node=True,
)
async def save_animated_webp(
    outputs: OutputFunctions,
    *,
    images: Image,
    filename_prefix: str = "ComfyUI",
    fps: Fps = 6.0,
    lossless: bool = True,
    quality: Annotated[int, Widget(min=0, max=100)] = 80,
    method: Literal["default", "fastest", "slowest"],
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001 - `outputs` has both
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Keep pictures as one animation in WebP."""
    how = {"lossless": lossless, "quality": quality, "effort": EFFORTS[method]}
    await outputs.save_animation(images, filename_prefix, format="webp", fps=fps, **how)


@node(
    "SaveAnimatedPNG",
    runs_on=Stage.OUTPUT,
    category="image/animation",
    output_node=True,
)
async def save_animated_png(
    outputs: OutputFunctions,
    *,
    images: Image,
    filename_prefix: str = "ComfyUI",
    fps: Fps = 6.0,
    compress_level: Annotated[int, Widget(min=0, max=9)] = 4,
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Keep pictures as one animation in PNG."""
    how = {"fps": fps, "effort": compress_level}
    await outputs.save_animation(images, filename_prefix, format="png", **how)
