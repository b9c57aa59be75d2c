"""Videos made smoother: ComfyUI's own nodes."""

from typing import Annotated

from graph.interpolation import FrameInterpolator, Interpolation
from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.stages.upscale import UpscaleFunctions
from graph.values import Image, ModelFile


@node(
    "FrameInterpolationModelLoader",
    runs_on=Stage.INLINE,
    display_name="Load Frame Interpolation Model",
    category="model/loaders",
)
def load_frame_interpolator(
    *, model_name: Annotated[ModelFile, Files("frame_interpolation")]
) -> FrameInterpolator:
    """Name a network that draws frames between others."""
    return FrameInterpolator(model_name)


@node(
    "FrameInterpolate",
    runs_on=Stage.UPSCALE,
    display_name="Run Frame Interpolation Model",
    category="video",
    costly=True,
)
async def interpolate_frames(
    networks: UpscaleFunctions,
    *,
    interp_model: FrameInterpolator,
    images: Image,
    multiplier: Annotated[int, Widget(min=2, max=16)] = 2,
) -> Image:
    """Draw frames between those of a video."""
    return await networks.interpolate(interp_model, images, Interpolation("core", multiplier))
