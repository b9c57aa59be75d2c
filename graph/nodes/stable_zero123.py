"""Stable Zero123: other views of what is in a picture."""

from dataclasses import replace
from typing import Annotated

from graph.node import Widget, node
from graph.picture_conditioning import OUTPUTS, Conditioned, conditioned_on
from graph.stages import Stage
from graph.stages.seen_pictures import PictureConditioning
from graph.values import ClipVision, ClipVisionOutput, Conditioning, Image, Latent, Vae

CATEGORY = "model/conditioning/stable zero123"
Side = Annotated[int, Widget(min=16, max=16384, step=8)]
Batch = Annotated[int, Widget(min=1, max=4096)]
Angle = Annotated[float, Widget(min=-180.0, max=180.0, step=0.1, round=False)]
Step = Annotated[float, Widget(min=-180.0, max=180.0, step=0.1, round=False, advanced=True)]


@node(
    "StableZero123_Conditioning",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=OUTPUTS,
)
def view(
    *,
    clip_vision: ClipVision,
    init_image: Image,
    vae: Vae,
    width: Side = 256,
    height: Side = 256,
    batch_size: Batch = 1,
    elevation: Angle = 0.0,
    azimuth: Angle = 0.0,
) -> Conditioned:
    """Say from where the thing in a picture is to be seen."""
    return conditioned_on(
        init_image,
        clip_vision,
        vae,
        node="comfyray.Views",
        width=width,
        height=height,
        elevation=elevation,
        azimuth=azimuth,
        views=1,
        batch_size=batch_size,
    )


@node(
    "StableZero123_Conditioning_Batched",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=OUTPUTS,
)
def views(
    *,
    clip_vision: ClipVision,
    init_image: Image,
    vae: Vae,
    width: Side = 256,
    height: Side = 256,
    batch_size: Batch = 1,
    elevation: Angle = 0.0,
    azimuth: Angle = 0.0,
    elevation_batch_increment: Step = 0.0,
    azimuth_batch_increment: Step = 0.0,
) -> Conditioned:
    """Say from where each picture of a batch is to see the thing in a picture."""
    return conditioned_on(
        init_image,
        clip_vision,
        vae,
        node="comfyray.Views",
        width=width,
        height=height,
        batch_size=batch_size,
        elevation=elevation,
        azimuth=azimuth,
        views=batch_size,
        elevation_step=elevation_batch_increment,
        azimuth_step=azimuth_batch_increment,
        one_noise=True,
    )


@node("comfyray.Views", runs_on=Stage.SAMPLE, internal=True)
async def tell_views(
    stage: PictureConditioning,
    *,
    seen: ClipVisionOutput,
    image: Image,
    vae: Vae,
    width: Side,
    height: Side,
    batch_size: Batch,
    elevation: float,
    azimuth: float,
    views: int,
    elevation_step: float = 0.0,
    azimuth_step: float = 0.0,
    one_noise: bool = False,
) -> tuple[Conditioning, Conditioning, Latent]:
    """What a picture says as it is seen and from where, and as latents beside the noise."""
    angles = [(elevation + k * elevation_step, azimuth + k * azimuth_step) for k in range(views)]
    positive, negative = await stage.condition_on_views(seen, image, vae, angles)
    latent = stage.empty_latent((batch_size, 4, height // 8, width // 8))
    noise = (0,) * batch_size if one_noise else None
    return positive, negative, replace(latent, batch_index=noise)
