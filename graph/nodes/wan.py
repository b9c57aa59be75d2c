"""Wan: videos that begin with pictures, or end with them."""

import asyncio
from typing import Annotated, Any

from graph.latent_sizes import WAN21_VIDEO, WAN22_VIDEO
from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.videos import Videos
from graph.values import (
    ClipVisionOutput,
    Conditioning,
    Image,
    Latent,
    Tensor,
    Vae,
)

CATEGORY = "model/conditioning/wan"
POSITIVE_NEGATIVE_LATENT = ("positive", "negative", "latent")
LARGEST = 16384
Side = Annotated[int, Widget(min=16, max=LARGEST, step=16)]
Side32 = Annotated[int, Widget(min=32, max=LARGEST, step=32)]
Length = Annotated[int, Widget(min=1, max=LARGEST, step=4)]
Batch = Annotated[int, Widget(min=1, max=4096)]
Conditioned = tuple[Conditioning, Conditioning, Latent]


@node(
    "WanImageToVideo",
    runs_on=Stage.SAMPLE,
    category=CATEGORY,
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def image_to_video(
    stage: Videos,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Batch = 1,
    clip_vision_output: ClipVisionOutput | None = None,
    start_image: Image | None = None,
) -> Conditioned:
    """Tell a model the frames that a video begins with."""
    latent = stage.empty_latent(WAN21_VIDEO.shape(batch_size, width, height, length))
    known: dict[str, Any] = {}
    if start_image is not None:
        start = await asyncio.to_thread(stage.fit_frames, start_image, length, width, height)
        frames = await asyncio.to_thread(stage.frames_on_grey, length, width, height, start)
        channels = await stage.encode_video(vae, frames)
        known["concat_latent_image"] = channels
        known["concat_mask"] = stage.unknown_latents(channels, len(start))
    return conditioned(stage, (positive, negative), latent, known, clip_vision_output)


def conditioned(
    stage: Videos,
    prompts: tuple[Conditioning, Conditioning],
    latent: Latent,
    known: dict[str, Any],
    seen: ClipVisionOutput | None = None,
) -> Conditioned:
    """Both prompts, which carry what is known."""
    if seen is not None:
        known = {**known, "clip_vision_output": seen}
    positive, negative = (stage.with_extras(prompt, **known) for prompt in prompts)
    return positive, negative, latent


@node(
    "WanFirstLastFrameToVideo",
    runs_on=Stage.SAMPLE,
    category=CATEGORY,
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def first_last_frame_to_video(
    stage: Videos,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Batch = 1,
    clip_vision_start_image: ClipVisionOutput | None = None,
    clip_vision_end_image: ClipVisionOutput | None = None,
    start_image: Image | None = None,
    end_image: Image | None = None,
) -> Conditioned:
    """Tell a model the frames that a video begins and ends with."""
    own = await stage.video_latent_size(vae)
    latent = stage.empty_latent(own.shape(batch_size, width, height, length))
    start = end = None
    if start_image is not None:
        start = await asyncio.to_thread(stage.fit_frames, start_image, length, width, height)
    if end_image is not None:
        end = await asyncio.to_thread(
            stage.fit_frames, end_image, length, width, height, from_end=True
        )
    frames = await asyncio.to_thread(stage.frames_on_grey, length, width, height, start, end)
    first, last = (0 if image is None else len(image) for image in (start, end))
    known = {
        "concat_latent_image": await stage.encode_video(vae, frames),
        "concat_mask": stage.unknown_frames(latent.samples, first, last),
    }
    seen = clip_vision_start_image or clip_vision_end_image
    if clip_vision_start_image is not None and clip_vision_end_image is not None:
        seen = stage.join_seen(clip_vision_start_image, clip_vision_end_image)
    return conditioned(stage, (positive, negative), latent, known, seen)


@node(
    "WanFunInpaintToVideo",
    runs_on=Stage.SAMPLE,
    category=f"{CATEGORY}/fun inpaint",
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def fun_inpaint_to_video(
    stage: Videos,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Batch = 1,
    clip_vision_output: ClipVisionOutput | None = None,
    start_image: Image | None = None,
    end_image: Image | None = None,
) -> Conditioned:
    """Tell a Fun model the frames that a video begins and ends with."""
    return await first_last_frame_to_video(
        stage,
        positive=positive,
        negative=negative,
        vae=vae,
        width=width,
        height=height,
        length=length,
        batch_size=batch_size,
        clip_vision_start_image=clip_vision_output,
        start_image=start_image,
        end_image=end_image,
    )


async def encoded(stage: Videos, vae: Vae, image: Image, size: tuple[int, int, int]) -> Tensor:
    """The latent of the first pictures, as a video of this length, width and height."""
    frames = await asyncio.to_thread(stage.fit_frames, image, *size)
    return await stage.encode_video(vae, frames)


@node("Wan22ImageToVideoLatent", runs_on=Stage.SAMPLE, category=CATEGORY)
async def wan22_image_to_video_latent(
    stage: Videos,
    *,
    vae: Vae,
    width: Side32 = 1280,
    height: Side32 = 704,
    length: Length = 49,
    batch_size: Batch = 1,
    start_image: Image | None = None,
) -> Latent:
    """Make an empty video of Wan 2.2's small model, or one whose first frames are known."""
    latent = stage.empty_latent(WAN22_VIDEO.shape(1, width, height, length))
    if start_image is None:
        return latent
    part = await encoded(stage, vae, start_image, (length, width, height))
    samples = stage.with_frames(stage.blank_video(latent.samples), part)
    mask = stage.unknown_latents(samples, 4 * part.shape[2] - 3)
    repeats = (batch_size, 1, 1, 1, 1)
    return Latent(samples.repeat(repeats), mask.repeat(repeats))
