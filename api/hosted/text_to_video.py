"""Text to video: v6 text2video, v7 text-to-video, and their older names."""

from typing import Any

from pydantic import AliasChoices, Field

from api.hosted.draft import Draft
from api.hosted.family import Family
from api.hosted.fields import Anything, Flag, Fps, Frames, Side, Text, VideoType
from api.hosted.image_request import ImageRequest
from api.hosted.meta import image_meta
from api.hosted.parts import Bench, Translation, add_ip_adapter, canvas_size, fill, native_px
from api.hosted.video_files import file_ending, save_as

EXAMPLE = {
    "prompt": "a lighthouse at dawn",
    "width": 512,
    "height": 512,
    "num_frames": 16,
    "num_inference_steps": 20,
    "output_type": "mp4",
    "seed": 42,
}
NONE_HERE = (
    "use_improved_sampling",
    "improved_sampling_seed",
    "upscale_strength",
    "upscale_guidance_scale",
    "upscale_num_inference_steps",
)


class TextToVideo(ImageRequest):
    """A video from a prompt, by a checkpoint with a motion module."""

    prompt: Text = Field(description="What the video shows.")
    num_frames: Frames = 16
    fps: Fps = 8
    output_type: VideoType = "gif"
    motion_module: Text | None = Field(
        None,
        validation_alias=AliasChoices("motion_module", "motion_model"),
        description="A motion module's file name, or an alias.",
    )
    upscale_width: Side | None = Field(None, description="Frames are enlarged to it.")
    upscale_height: Side | None = None
    use_improved_sampling: Flag = Field(False, description="Accepted; there is none here.")
    improved_sampling_seed: Anything = None
    upscale_strength: Anything = Field(None, description="Accepted; frames are only enlarged.")
    upscale_guidance_scale: Anything = None
    upscale_num_inference_steps: Anything = None


async def translate(request: TextToVideo, bench: Bench) -> Translation:
    draft = Draft.of("text_to_video")
    fill(draft, request, bench, "video")
    draft.set("Motion", model_name=_motion_module(request, bench))
    native = await native_px(draft, bench.catalog)
    width, height = canvas_size(request, native, native)
    draft.set("Canvas", width=width, height=height, batch_size=request.num_frames)
    await add_ip_adapter(draft, request, bench)
    _enlarge(draft, request, width, height)
    save_as(draft, request.output_type, request.fps)
    ignored = [name for name in NONE_HERE if getattr(request, name)]
    return Translation(
        draft,
        _meta(draft, request, width, height),
        [*request.ignored, *ignored],
        ending=file_ending(request.output_type),
    )


def _motion_module(request: TextToVideo, bench: Bench) -> str:
    catalog = bench.catalog
    if request.motion_module:
        return catalog.find("animatediff_models", request.motion_module)
    return catalog.default("animatediff_models")


def _enlarge(draft: Draft, request: TextToVideo, width: int, height: int) -> None:
    """Where only one side is told, the other one keeps to it."""
    wide, high = request.upscale_width, request.upscale_height
    if wide is None and high is None:
        return
    wide = wide or round(width * (high or height) / height)
    high = high or round(height * wide / width)
    link = draft.inputs("Save")["images"]
    sides = {"width": wide, "height": high, "upscale_method": "lanczos", "crop": "center"}
    draft.set("Save", images=[draft.add("ImageScale", "Enlarge", image=link, **sides), 0])


def _meta(draft: Draft, request: TextToVideo, width: int, height: int) -> dict[str, Any]:
    return image_meta(draft, request, width, height) | {
        "n_samples": 1,
        "num_frames": request.num_frames,
        "fps": request.fps,
        "output_type": request.output_type,
        "motion_module": draft.inputs("Motion")["model_name"],
    }


FAMILY = Family(
    TextToVideo,
    translate,
    "Text to video",
    ("/api/v6/video/text2video", "/api/v7/video-fusion/text-to-video"),
    ("/api/v5/text2video", "/api/v4/dreambooth/text2video"),
    EXAMPLE,
)
