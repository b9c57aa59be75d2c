"""Wan: videos by controls, of subjects, and along the path of a camera."""

import asyncio
from typing import Annotated, Any, Literal

from graph.latent_sizes import WAN21_VIDEO
from graph.node import MayBeAbsent, Widget, node
from graph.nodes.wan import (
    CATEGORY,
    POSITIVE_NEGATIVE_LATENT,
    Batch,
    Conditioned,
    Length,
    Side,
    conditioned,
    encoded,
    image_to_video,
)
from graph.stages import Stage
from graph.stages.videos import Videos
from graph.values import (
    CameraPath,
    ClipVisionOutput,
    Conditioning,
    Image,
    Latent,
    Mask,
    Tensor,
    Vae,
)

Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Focal = Annotated[float, Widget(min=0.0, max=1.0, step=0.000000001)]


@node(
    "WanFunControlToVideo",
    runs_on=Stage.SAMPLE,
    category=f"{CATEGORY}/fun control",
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def fun_control_to_video(
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
    control_video: Image | None = None,
) -> Conditioned:
    """Tell a Fun model a control for every frame, and the frames that a video begins with."""
    latent = stage.empty_latent(WAN21_VIDEO.shape(batch_size, width, height, length))
    size = (length, width, height)
    channels = await _controls(stage, vae, latent.samples, (control_video, start_image), size)
    known = {"concat_latent_image": channels}
    return conditioned(stage, (positive, negative), latent, known, clip_vision_output)


@node(
    "Wan22FunControlToVideo",
    runs_on=Stage.SAMPLE,
    category=f"{CATEGORY}/fun control",
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def wan22_fun_control_to_video(
    stage: Videos,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Batch = 1,
    ref_image: Image | None = None,
    control_video: Image | None = None,
) -> Conditioned:
    """Tell a Fun model of Wan 2.2 a control for every frame, and a picture to go by."""
    own = await stage.video_latent_size(vae)
    latent = stage.empty_latent(own.shape(batch_size, width, height, length))
    size = (length, width, height)
    known = {
        "concat_latent_image": await _controls(
            stage, vae, latent.samples, (control_video, None), size
        ),
        "concat_mask": stage.unknown_frames(latent.samples),
        "concat_mask_index": own.channels,
    }
    positive, negative, latent = conditioned(stage, (positive, negative), latent, known)
    if ref_image is not None:
        references = [await encoded(stage, vae, ref_image, (1, width, height))]
        positive, negative = (
            stage.with_more(each, reference_latents=references) for each in (positive, negative)
        )
    return positive, negative, latent


async def _controls(
    stage: Videos,
    vae: Vae,
    latent: Tensor,
    videos: tuple[Image | None, Image | None],
    size: tuple[int, int, int],
) -> Tensor:
    """The latents of two videos one behind the other, each blank where it has no frames."""
    channels = []
    for video in videos:
        blank = stage.blank_video(latent)
        if video is not None:
            blank = stage.with_frames(blank, await encoded(stage, vae, video, size))
        channels.append(blank)
    return stage.join_channels(*channels)


@node(
    "WanVaceToVideo",
    runs_on=Stage.SAMPLE,
    category=f"{CATEGORY}/vace",
    outputs=(*POSITIVE_NEGATIVE_LATENT, "trim_latent"),
)
async def vace_to_video(
    stage: Videos,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Batch = 1,
    strength: Annotated[float, Widget(min=0.0, max=1000.0, step=0.01)] = 1.0,
    control_video: Image | None = None,
    control_masks: Mask | None = None,
    reference_image: Image | None = None,
) -> tuple[Conditioning, Conditioning, Latent, int]:
    """Tell a VACE model a control, what of it is to be made anew, and a picture to go by."""
    latent = stage.empty_latent(WAN21_VIDEO.shape(batch_size, width, height, length))
    size = (length, width, height)
    frames = await asyncio.to_thread(stage.vace_frames, control_video, *size)
    mask = await asyncio.to_thread(stage.vace_mask, control_masks, *size)
    parts = [
        await stage.encode_video(
            vae, await asyncio.to_thread(stage.vace_part, frames, mask, reactive=reactive)
        )
        for reactive in (False, True)
    ]
    control, trim = stage.join_channels(*parts), 0
    if reference_image is not None:
        reference = await encoded(stage, vae, reference_image, (1, width, height))
        before = stage.join_channels(reference, stage.blank_video(reference))
        control, trim = stage.join_frames([before, control]), before.shape[2]
        shape = list(latent.samples.shape)
        shape[2] += trim
        latent = stage.empty_latent(tuple(shape))
    known = {
        "vace_frames": [control],
        "vace_mask": [await asyncio.to_thread(stage.vace_mask_channels, mask, trim)],
        "vace_strength": [strength],
    }
    both = (stage.with_more(each, **known) for each in (positive, negative))
    return (*both, latent, trim)  # type: ignore[return-value]


@node(
    "WanPhantomSubjectToVideo",
    runs_on=Stage.SAMPLE,
    category=f"{CATEGORY}/phantom subject",
    outputs=("positive", "negative_text", "negative_img_text", "latent"),
)
async def phantom_subject_to_video(
    stage: Videos,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Batch = 1,
    images: Image | None = None,
) -> tuple[Conditioning, Conditioning, Conditioning, Latent]:
    """Tell a Phantom model the subjects of a video."""
    latent = stage.empty_latent(WAN21_VIDEO.shape(batch_size, width, height, length))
    if images is None:
        return positive, negative, negative, latent
    frames = await asyncio.to_thread(stage.fit_frames, images, length, width, height)
    parts = [await stage.encode_video(vae, frames[k : k + 1]) for k in range(len(frames))]
    subjects = stage.join_frames(parts)
    return (
        stage.with_extras(positive, time_dim_concat=subjects),
        stage.with_extras(negative, time_dim_concat=subjects),
        stage.with_extras(negative, time_dim_concat=stage.blank_video(subjects)),
        latent,
    )


@node(
    "WanCameraImageToVideo",
    runs_on=Stage.SAMPLE,
    category=f"{CATEGORY}/camera",
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def camera_image_to_video(
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
    camera_conditions: CameraPath | None = None,
) -> Conditioned:
    """Tell a model the frames that a video begins with, and the path of its camera."""
    latent = stage.empty_latent(WAN21_VIDEO.shape(batch_size, width, height, length))
    known: dict[str, Any] = {}
    if start_image is not None:
        start = await asyncio.to_thread(stage.fit_frames, start_image, length, width, height)
        part = await stage.encode_video(vae, start)
        blank = stage.blank_video(latent.samples)
        known["concat_latent_image"] = stage.with_frames(blank, part)
        known["concat_mask"] = stage.unknown_frames(latent.samples, len(start))
    if camera_conditions is not None:
        known["camera_conditions"] = camera_conditions
    return conditioned(stage, (positive, negative), latent, known, clip_vision_output)


@node(
    "WanCameraEmbedding",
    runs_on=Stage.SAMPLE,
    category=f"{CATEGORY}/camera",
    outputs=("camera_embedding", "width", "height", "length"),
)
async def camera_embedding(
    stage: Videos,
    *,
    camera_pose: Literal[
        "Static",
        "Pan Up",
        "Pan Down",
        "Pan Left",
        "Pan Right",
        "Zoom In",
        "Zoom Out",
        "Anti Clockwise (ACW)",
        "ClockWise (CW)",
    ] = "Static",
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    speed: Annotated[float, Widget(min=0.0, max=10.0, step=0.1), MayBeAbsent()] = 1.0,
    fx: Annotated[Focal, MayBeAbsent()] = 0.5,
    fy: Annotated[Focal, MayBeAbsent()] = 0.5,
    cx: Annotated[Share, MayBeAbsent()] = 0.5,
    cy: Annotated[Share, MayBeAbsent()] = 0.5,
) -> tuple[CameraPath, int, int, int]:
    """Make the path of a camera."""
    path = await asyncio.to_thread(
        stage.camera_path,
        camera_pose,
        length,
        width,
        height,
        speed=speed,
        focal=(fx, fy),
        center=(cx, cy),
    )
    return path, width, height, length


@node(
    "WanTrackToVideo",
    runs_on=Stage.SAMPLE,
    category=f"{CATEGORY}/move",
    outputs=POSITIVE_NEGATIVE_LATENT,
)
async def track_to_video(
    stage: Videos,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    tracks: Annotated[str, Widget(multiline=True)] = "[]",
    width: Side = 832,
    height: Side = 480,
    length: Length = 81,
    batch_size: Batch = 1,
    temperature: Annotated[float, Widget(min=1.0, max=1000.0, step=0.1)] = 220.0,
    topk: Annotated[int, Widget(min=1, max=10)] = 2,
    start_image: Image,
    clip_vision_output: ClipVisionOutput | None = None,
) -> Conditioned:
    """Tell a model the first frame of a video, and how points of it move."""
    found = await asyncio.to_thread(stage.read_tracks, tracks)
    if not found:
        return await image_to_video(
            stage,
            positive=positive,
            negative=negative,
            vae=vae,
            width=width,
            height=height,
            length=length,
            batch_size=batch_size,
            clip_vision_output=clip_vision_output,
            start_image=start_image,
        )
    latent = stage.empty_latent(WAN21_VIDEO.shape(batch_size, width, height, length))
    starts = await asyncio.to_thread(stage.fit_frames, start_image, batch_size, width, height)
    videos = []
    for k in range(len(starts)):
        frames = await asyncio.to_thread(
            stage.frames_on_grey, length, width, height, starts[k : k + 1]
        )
        videos.append(await stage.encode_video(vae, frames))
    moved, unknown = await asyncio.to_thread(
        stage.moved_latents,
        videos,
        found,
        batch_size,
        (width, height),
        temperature=temperature,
        topk=topk,
    )
    known = {"concat_latent_image": moved, "concat_mask": unknown}
    return conditioned(stage, (positive, negative), latent, known, clip_vision_output)
