"""Pictures made larger by a network."""

from typing import Annotated

from graph.node import Files, node
from graph.stages import Stage
from graph.stages.upscale import UpscaleFunctions
from graph.values import Image, ModelFile, UpscaleModel


@node(
    "UpscaleModelLoader",
    runs_on=Stage.INLINE,
    display_name="Load Upscale Model",
    category="loaders",
)
def load_upscale_model(
    *, model_name: Annotated[ModelFile, Files("upscale_models")]
) -> UpscaleModel:
    """Name an upscaling model."""
    return UpscaleModel(model_name)


@node(
    "ImageUpscaleWithModel",
    runs_on=Stage.UPSCALE,
    display_name="Upscale Image (using Model)",
    category="image/upscaling",
    costly=True,
)
async def upscale_image(
    upscalers: UpscaleFunctions, *, upscale_model: UpscaleModel, image: Image
) -> Image:
    """Make pictures as much larger as the model does."""
    return await upscalers.upscale(upscale_model, image)
