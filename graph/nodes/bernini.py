"""Bernini: videos made of, and changed by, the videos and pictures that a model of Wan goes by."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from graph.dynamic_inputs import Growing
from graph.latent_sizes import WAN21_VIDEO
from graph.node import Input, MayBeAbsent, Widget, node
from graph.nodes.wan import POSITIVE_NEGATIVE_LATENT, Batch, Conditioned, conditioned
from graph.stages import Stage
from graph.stages.videos import Videos
from graph.values import Conditioning, Image, Vae

LARGEST = 8192
Side = Annotated[int, Widget(min=16, max=LARGEST, step=16)]
Pictures = Annotated[
    Mapping[str, Image],
    Growing.counted(Input("reference_image", "IMAGE"), "reference_image_", 0, 8),
    MayBeAbsent(),
]


@node(
    "BerniniConditioning",
    runs_on=Stage.SAMPLE,
    display_name="Bernini Conditioning",
    category="model/conditioning/bernini",
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def go_by_videos(
    stage: Videos,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Annotated[int, Widget(min=1, max=LARGEST, step=4)] = 81,
    batch_size: Batch = 1,
    source_video: Image | None = None,
    reference_video: Image | None = None,
    reference_images: Pictures | None = None,
    ref_max_size: Annotated[int, Widget(min=16, max=LARGEST, step=16), MayBeAbsent()] = 848,
) -> Conditioned:
    """Tell a model the video to change, a video to put into it, and pictures to go by."""
    latent = stage.empty_latent(WAN21_VIDEO.shape(batch_size, width, height, length))
    shown = []
    if source_video is not None:
        cover = stage.cover_frames
        shown.append(await asyncio.to_thread(cover, source_video, length, width, height))
    others = [] if reference_video is None else [reference_video]
    for _, images in sorted((reference_images or {}).items()):
        others += [images[place : place + 1] for place in range(len(images))]
    for other in others:
        shown.append(await asyncio.to_thread(stage.frames_within, other, length, ref_max_size))
    known: dict[str, Any] = {}
    if shown:
        known["context_latents"] = [await stage.encode_video(vae, frames) for frames in shown]
    return conditioned(stage, (positive, negative), latent, known)
