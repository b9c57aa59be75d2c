"""What an image encoder sees in pictures, and prompts that speak of it."""

from typing import Annotated, Literal

from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.stages.encode import VisionEncoding
from graph.stages.sample import Conditionings
from graph.values import (
    Clip,
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    Image,
    Model,
    ModelFile,
    Vae,
)

Strength = Annotated[float, Widget(min=-10.0, max=10.0, step=0.01)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]


@node("CLIPVisionLoader", runs_on=Stage.INLINE, display_name="Load CLIP Vision", category="loaders")
def load_clip_vision(*, clip_name: Annotated[ModelFile, Files("clip_vision")]) -> ClipVision:
    """Name an image encoder."""
    return ClipVision(clip_name)


@node(
    "CLIPVisionEncode",
    runs_on=Stage.ENCODE,
    display_name="CLIP Vision Encode",
    category="conditioning",
    costly=True,
)
async def encode_image(
    encoders: VisionEncoding,
    *,
    clip_vision: ClipVision,
    image: Image,
    crop: Literal["center", "none"],
) -> ClipVisionOutput:
    """See what is in pictures, cropped in the middle to a square or squeezed into one."""
    return await encoders.encode_image(clip_vision, image, crop=crop == "center")


@node("unCLIPCheckpointLoader", runs_on=Stage.INLINE, category="loaders")
def load_unclip_checkpoint(
    *, ckpt_name: Annotated[ModelFile, Files("checkpoints")]
) -> tuple[Model, Clip, Vae, ClipVision]:
    """Name the four models of a checkpoint that goes by pictures as well as by texts."""
    return Model(ckpt_name), Clip((ckpt_name,)), Vae(ckpt_name), ClipVision(ckpt_name)


@node("unCLIPConditioning", runs_on=Stage.SAMPLE, category="conditioning")
def unclip_conditioning(
    conditions: Conditionings,
    *,
    conditioning: Conditioning,
    clip_vision_output: ClipVisionOutput,
    strength: Strength = 1.0,
    noise_augmentation: Share = 0.0,
) -> Conditioning:
    """Let a prompt speak of a picture too; noise makes it less literal."""
    return conditions.unclip_conditioning(
        conditioning,
        clip_vision_output,
        strength=strength,
        noise_augmentation=noise_augmentation,
    )
