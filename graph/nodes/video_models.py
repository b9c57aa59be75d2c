"""Stable Video Diffusion and 3D: checkpoints that go by a picture, and what they are told."""

from itertools import accumulate
from typing import Annotated

from graph.node import Files, Widget, node
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.stages.seen_pictures import PictureConditioning
from graph.values import (
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    Image,
    Latent,
    Link,
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
    outputs=("positive", "negative", "latent"),
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
) -> tuple[
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("LATENT")],
]:
    """Make a video begin with a picture."""
    size = {"width": width, "height": height}
    nodes = {
        "seen": Node(
            "CLIPVisionEncode",
            {"clip_vision": clip_vision, "image": init_image, "crop": "center"},
        ),
        "fitted": Node(
            "ImageScale",
            {"image": init_image, "upscale_method": "bilinear", "crop": "center", **size},
        ),
        "conditioning": Node(
            "comfyray.PictureConditioning",
            {
                "seen": Source("seen", 0),
                "image": Source("fitted", 0),
                "vae": vae,
                "video_frames": video_frames,
                "motion_bucket_id": motion_bucket_id,
                "fps": fps,
                "augmentation_level": augmentation_level,
                **size,
            },
        ),
    }
    outputs = tuple(Source("conditioning", slot) for slot in range(3))
    return Expansion(nodes, outputs)  # type: ignore[return-value]


@node(
    "SV3D_Conditioning",
    runs_on=Stage.INLINE,
    rewrites=True,
    category="model/conditioning/stable video 3d",
    outputs=("positive", "negative", "latent"),
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
) -> tuple[
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("LATENT")],
]:
    """Look at the thing in a picture from all around."""
    size = {"width": width, "height": height}
    links = {"seen": Source("seen", 0), "image": Source("fitted", 0), "vae": vae}
    nodes = {
        "seen": Node(
            "CLIPVisionEncode",
            {"clip_vision": clip_vision, "image": init_image, "crop": "center"},
        ),
        "fitted": Node(
            "ImageScale",
            {"image": init_image, "upscale_method": "bilinear", "crop": "center", **size},
        ),
        "conditioning": Node(
            "comfyray.OrbitConditioning",
            {**links, **size, "video_frames": video_frames, "elevation": elevation},
        ),
    }
    outputs = tuple(Source("conditioning", slot) for slot in range(3))
    return Expansion(nodes, outputs)  # type: ignore[return-value]


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
