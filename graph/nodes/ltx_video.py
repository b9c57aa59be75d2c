"""LTX-Video: its frame rate, and pictures that a video begins with or goes by."""

import asyncio
import math
from typing import Annotated

from graph.latent_sizes import LTX_VIDEO
from graph.node import Widget, node
from graph.nodes.latents_empty import Batch, Side32
from graph.stages import Stage
from graph.stages.media import Media
from graph.stages.sample import SampleFunctions
from graph.values import Conditioning, Image, Latent, Model, Vae

CATEGORY = "model/conditioning/ltxv"
LEAST_TOKENS, USUAL_TOKENS, MOST_TOKENS = 1024, 4096, 4096  # that shifts are for
Shift = Annotated[float, Widget(min=0.0, max=100.0, step=0.01)]
PAIR = ("positive", "negative")
PAIR_AND_LATENT = (*PAIR, "latent")


@node("LTXVConditioning", runs_on=Stage.SAMPLE, category=CATEGORY, outputs=PAIR)
def set_frame_rate(
    stage: SampleFunctions,
    *,
    positive: Conditioning,
    negative: Conditioning,
    frame_rate: Annotated[float, Widget(min=0.0, max=1000.0, step=0.01)] = 25.0,
) -> tuple[Conditioning, Conditioning]:
    """Say how many frames a second a video has."""
    conditionings = (stage.with_extras(own, frame_rate=frame_rate) for own in (positive, negative))
    return next(conditionings), next(conditionings)


@node("LTXVImgToVideo", runs_on=Stage.SAMPLE, category=CATEGORY, outputs=PAIR_AND_LATENT)
async def begin_with_picture(
    stage: SampleFunctions,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    image: Image,
    width: Side32 = 768,
    height: Side32 = 512,
    length: Annotated[int, Widget(min=9, max=16384, step=8)] = 97,
    batch_size: Batch = 1,
    strength: Annotated[float, Widget(min=0.0, max=1.0)] = 1.0,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Make an empty video that begins with a picture, or with several."""
    empty = stage.empty_latent(LTX_VIDEO.shape(batch_size, width, height, length))
    shape = tuple(empty.samples.shape)
    scaled = await asyncio.to_thread(stage.as_frames, image, width, height, crop=True)
    frames = await stage.encode_video(vae, scaled)
    return positive, negative, stage.begun_with(frames, shape, strength)


@node("LTXVAddGuide", runs_on=Stage.SAMPLE, category=CATEGORY, outputs=PAIR_AND_LATENT)
async def add_guide(
    stage: SampleFunctions,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    latent: Latent,
    image: Image,
    frame_idx: Annotated[int, Widget(min=-9999, max=9999)] = 0,
    strength: Annotated[float, Widget(min=0.0, max=1.0, step=0.01)] = 1.0,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Let a video go by pictures from one of its frames on; negative frames count from its end."""
    height, width = (side * LTX_VIDEO.px for side in latent.samples.shape[-2:])
    pictures = stage.whole_steps(image)
    scaled = await asyncio.to_thread(stage.as_frames, pictures, width, height, crop=False)
    guide = await stage.encode_video(vae, scaled)
    return stage.with_guide(
        positive,
        negative,
        latent,
        guide,
        frame=frame_idx,
        pictures=len(pictures),
        strength=strength,
    )


@node("LTXVCropGuides", runs_on=Stage.SAMPLE, category=CATEGORY, outputs=PAIR_AND_LATENT)
def crop_guides(
    stage: SampleFunctions, *, positive: Conditioning, negative: Conditioning, latent: Latent
) -> tuple[Conditioning, Conditioning, Latent]:
    """Cut the pictures that a video went by off its end."""
    return stage.without_guides(positive, negative, latent)


@node("ModelSamplingLTXV", runs_on=Stage.SAMPLE, category="model/patch/ltxv")
def shift_by_size(
    _stage: SampleFunctions,
    *,
    model: Model,
    max_shift: Shift = 2.05,
    base_shift: Shift = 0.95,
    latent: Latent | None = None,
) -> Model:
    """Shift the noise levels of a flow model by the size of a video."""
    tokens = USUAL_TOKENS if latent is None else math.prod(latent.samples.shape[2:])
    slope = (max_shift - base_shift) / (MOST_TOKENS - LEAST_TOKENS)
    return model.changed(
        "model_sampling_flux", shift=tokens * slope + base_shift - slope * LEAST_TOKENS
    )


@node(
    "LTXVPreprocess",
    runs_on=Stage.IMAGE,
    display_name="LTXV Preprocess",
    category="video/preprocessors",
    outputs=("output_image",),
)
def look_like_video(
    media: Media,
    *,
    image: Image,
    img_compression: Annotated[int, Widget(min=0, max=100)] = 35,
) -> Image:
    """Give pictures the traces that H.264 leaves, as the videos had that models learned from."""
    return media.compressed(image, img_compression)
