"""Stable Diffusion's x4 upscaler: what it is told of the picture that it makes larger."""

from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.seen_pictures import LowResolution
from graph.values import Conditioning, Image, Latent

PX = 4  # pixels of a picture along one of its latent's, and of the small one


@node(
    "SD_4XUpscale_Conditioning",
    runs_on=Stage.SAMPLE,
    category="model/conditioning/stable diffusion upscaler",
    outputs=("positive", "negative", "latent"),
)
def condition_on_small(
    stage: LowResolution,
    *,
    images: Image,
    positive: Conditioning,
    negative: Conditioning,
    scale_ratio: Annotated[float, Widget(min=0.0, max=10.0, step=0.01)] = 4.0,
    noise_augmentation: Annotated[float, Widget(min=0.0, max=1.0, step=0.001)] = 0.0,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Let a model draw pictures again, larger."""
    count, height, width, _ = images.shape
    sides = [max(1, max(1, round(side * scale_ratio)) // PX) for side in (height, width)]
    latent = stage.empty_latent((count, 4, *sides))
    small = stage.low_resolution(images, *sides)
    first, second = (
        stage.with_extras(own, concat_image=small, noise_augmentation=noise_augmentation)
        for own in (positive, negative)
    )
    return first, second, latent
