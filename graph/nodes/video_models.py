"""Stable Video Diffusion and 3D: checkpoints that go by a picture, and what they are told."""

from itertools import accumulate
from typing import Annotated

from graph.node import Files, Widget, node
from graph.picture_conditioning import OUTPUTS, Conditioned, conditioned_on
from graph.stages import Stage
from graph.stages.seen_pictures import PictureConditioning
from graph.values import (
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    Image,
    Latent,
    Model,
    ModelFile,
    Vae,
)

TURN = 360  # degrees
Side = Annotated[int, Widget(min=16, max=16384, step=8)]
Frames = Annotated[int, Widget(min=1, max=4096)]
Bucket = Annotated[int, Widget(min=1, max=1023, advanced=True)]
Fps = Annotated[int, Widget(min=1, max=1024)]
Augmentation = Annotated[float, Widget(min=0.0, max=10.0, step=0.01, advanced=True)]


@node(
    "ImageOnlyCheckpointLoader",
    runs_on=Stage.INLINE,
    display_name="Load Checkpoint Image Only (img2vid model)",
    category="model/loaders",
)
def load_image_only_checkpoint(
    *, ckpt_name: Annotated[ModelFile, Files("checkpoints")]
) -> tuple[Model, ClipVision, Vae]:
    """Name the three models of a checkpoint that goes by a picture."""
    return Model(ckpt_name), ClipVision(ckpt_name), Vae(ckpt_name)


@node(
    "SVD_img2vid_Conditioning",
    runs_on=Stage.INLINE,
    rewrites=True,
    category="model/conditioning/stable video",
    outputs=OUTPUTS,
)
def condition_on_picture(
    *,
    clip_vision: ClipVision,
    init_image: Image,
    vae: Vae,
    width: Side = 1024,
    height: Side = 576,
    video_frames: Frames = 14,
    motion_bucket_id: Bucket = 127,
    fps: Fps = 6,
    augmentation_level: Augmentation = 0.0,
) -> Conditioned:
    """Make a video begin with a picture."""
    return conditioned_on(
        init_image,
        clip_vision,
        vae,
        node="comfyray.PictureConditioning",
        width=width,
        height=height,
        video_frames=video_frames,
        motion_bucket_id=motion_bucket_id,
        fps=fps,
        augmentation_level=augmentation_level,
    )


@node(
    "SV3D_Conditioning",
    runs_on=Stage.INLINE,
    rewrites=True,
    category="model/conditioning/stable video 3d",
    outputs=OUTPUTS,
)
def condition_on_orbit(
    *,
    clip_vision: ClipVision,
    init_image: Image,
    vae: Vae,
    width: Side = 576,
    height: Side = 576,
    video_frames: Frames = 21,
    elevation: Annotated[float, Widget(min=-90.0, max=90.0, step=0.1, round=False)] = 0.0,
) -> Conditioned:
    """Look at the thing in a picture from all around."""
    return conditioned_on(
        init_image,
        clip_vision,
        vae,
        node="comfyray.OrbitConditioning",
        width=width,
        height=height,
        video_frames=video_frames,
        elevation=elevation,
    )


@node("comfyray.OrbitConditioning", runs_on=Stage.SAMPLE, internal=True)
async def tell_orbit(
    stage: PictureConditioning,
    *,
    seen: ClipVisionOutput,
    image: Image,
    vae: Vae,
    width: Side,
    height: Side,
    video_frames: Frames,
    elevation: float,
) -> tuple[Conditioning, Conditioning, Latent]:
    """What a picture says as it is seen, and from where each frame is to see the thing."""
    hop = TURN / (max(video_frames, 2) - 1)
    around = list(accumulate([hop] * (video_frames - 1), initial=0.0))
    positive, negative = await stage.condition_on_orbit(
        seen, image, vae, elevations=[elevation] * video_frames, azimuths=around
    )
    return positive, negative, stage.empty_latent((video_frames, 4, height // 8, width // 8))


@node("comfyray.PictureConditioning", runs_on=Stage.SAMPLE, internal=True)
async def tell_picture(
    stage: PictureConditioning,
    *,
    seen: ClipVisionOutput,
    image: Image,
    vae: Vae,
    width: Side,
    height: Side,
    video_frames: Frames,
    motion_bucket_id: Bucket,
    fps: Fps,
    augmentation_level: Augmentation,
) -> tuple[Conditioning, Conditioning, Latent]:
    """What a picture says as it is seen, and as latents beside the noise."""
    positive, negative = await stage.condition_on_picture(
        seen,
        image,
        vae,
        motion_bucket_id=motion_bucket_id,
        fps=fps,
        augmentation_level=augmentation_level,
    )
    return positive, negative, stage.empty_latent((video_frames, 4, height // 8, width // 8))
