"""Image to video: v6 img2video and v7 image-to-video, by Stable Video Diffusion."""

from secrets import randbelow

from pydantic import AliasChoices, Field

from api.hosted.catalog import Catalog
from api.hosted.draft import Draft
from api.hosted.example_picture import PICTURE
from api.hosted.family import Family
from api.hosted.fields import (
    Anything,
    Bucket,
    Fps,
    Frames,
    Guidance,
    HostedRequest,
    PictureText,
    Seed,
    Side,
    Steps,
    Strength,
    Text,
    VideoType,
)
from api.hosted.meta import shown_pictures, yes_no
from api.hosted.parts import Bench, Translation
from api.hosted.problems import ModelNotFoundError
from api.hosted.video_files import file_ending, save_as

SVD = "svd"  # the hosted API's model, for which any file of it will do
PROMPTS = ("prompt", "negative_prompt")


class ImageToVideo(HostedRequest):
    """A video that begins with a picture."""

    init_image: PictureText = Field(validation_alias=AliasChoices("init_image", "image"))
    model_id: Text = Field(SVD, description="A checkpoint's file name, or an alias.")
    width: Side | None = None
    height: Side | None = None
    num_frames: Frames = 16
    num_inference_steps: Steps | None = Field(
        None, validation_alias=AliasChoices("num_inference_steps", "steps")
    )
    min_guidance_scale: Guidance | None = Field(None, description="Of the first frame.")
    max_guidance_scale: Guidance | None = Field(None, description="Of the last frame.")
    motion_bucket_id: Bucket | None = Field(None, description="The higher, the more moves.")
    noise_aug_strength: Strength | None = Field(None, description="Of noise on the picture.")
    fps: Fps = 6
    output_type: VideoType = "mp4"
    seed: Seed | None = Field(None, description="Absent: random; `meta` has it.")
    prompt: Anything = Field(None, description="Accepted; these models hear no text.")
    negative_prompt: Anything = None


async def translate(request: ImageToVideo, bench: Bench) -> Translation:
    draft = Draft.of("image_to_video")
    picture = await bench.pictures.read("init_image", request.init_image)
    width, height = picture.fitted()
    width, height = request.width or width, request.height or height
    model = await _model(bench.catalog, request.model_id)
    seed = randbelow(2**32) if request.seed is None else request.seed
    draft.set("Checkpoint", ckpt_name=model)
    draft.set("Picture", image=picture.uri)
    draft.set(
        "Conditioning",
        width=width,
        height=height,
        video_frames=request.num_frames,
        motion_bucket_id=request.motion_bucket_id,
        fps=request.fps,
        augmentation_level=request.noise_aug_strength,
    )
    draft.set("Guidance", min_cfg=request.min_guidance_scale)
    draft.set(
        "Sampler", seed=seed, steps=request.num_inference_steps, cfg=request.max_guidance_scale
    )
    save_as(draft, request.output_type, request.fps)
    conditioning, sampler = draft.inputs("Conditioning"), draft.inputs("Sampler")
    meta = {
        "model_id": model,
        "W": width,
        "H": height,
        "num_frames": request.num_frames,
        "fps": request.fps,
        "output_type": request.output_type,
        "motion_bucket_id": conditioning["motion_bucket_id"],
        "noise_aug_strength": conditioning["augmentation_level"],
        "min_guidance_scale": draft.inputs("Guidance")["min_cfg"],
        "max_guidance_scale": sampler["cfg"],
        "steps": sampler["steps"],
        "seed": seed,
        "base64": yes_no(request.base64),
        "track_id": request.track_id,
        **shown_pictures(init_image=request.init_image),
    }
    ignored = [name for name in PROMPTS if getattr(request, name)]
    return Translation(draft, meta, ignored, ending=file_ending(request.output_type))


async def _model(catalog: Catalog, name: str) -> str:
    """Raises ModelNotFoundError."""
    found = catalog.find("checkpoints", name)
    if found != name or name != SVD:
        return found
    best = await catalog.best("checkpoints", (SVD,))
    if best is None:
        raise ModelNotFoundError(SVD, "checkpoints")
    return best


FAMILY = Family(
    ImageToVideo,
    translate,
    "Image to video",
    ("/api/v6/video/img2video", "/api/v7/video-fusion/image-to-video"),
    example={"init_image": PICTURE, "num_frames": 14, "seed": 42},
)
