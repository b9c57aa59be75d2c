"""AnimateDiff: node names of older workflows. Nodes of ComfyUI-AnimateDiff-Evolved."""

from typing import Annotated, Any, Literal, TypeAlias

from graph.latent_sizes import SD
from graph.motion import (
    BETA_SCHEDULE,
    BETA_SCHEDULES,
    Context,
    Contexts,
    Evolved,
    Motion,
    MotionKeyframes,
    MotionLoras,
    Multival,
    SampleSettings,
    Windows,
)
from graph.node import Choices, Files, MayBeAbsent, Widget, node
from graph.nodes.packs.animatediff import CATEGORY, GEN1, BetaSchedule, MotionFile, evolved
from graph.stages import Stage
from graph.stages.output import Combining, OutputFunctions
from graph.stages.sample import Latents
from graph.values import Clip, Image, Latent, Link, Model, ModelFile, Vae

EXTRAS = f"{CATEGORY}/extras"
ANIMATEDIFF = "sqrt_linear (AnimateDiff)"
OLDER_SCHEDULES = (ANIMATEDIFF, *(name for name in BETA_SCHEDULES if name != ANIMATEDIFF))
OlderSchedule = Annotated[str, Choices(OLDER_SCHEDULES)]
Side = Annotated[int, Widget(min=64, max=16384, step=8)]
Gif: TypeAlias = Annotated[Any, Link("GIF")]


@node(
    "ADE_AnimateDiffLoaderWithContext",
    runs_on=Stage.INLINE,
    display_name="AnimateDiff Loader [Legacy] 🎭🅐🅓①",
    category=GEN1,
    deprecated=True,
)
def load_with_context(
    *,
    model: Model,
    model_name: MotionFile,
    beta_schedule: BetaSchedule = "autoselect",
    context_options: Contexts | None = None,
    motion_lora: MotionLoras | None = None,
    sample_settings: SampleSettings | None = None,
    motion_scale: Annotated[float, Widget(min=0.0, step=0.001), MayBeAbsent()] = 1.0,
    apply_v2_models_properly: Annotated[bool, MayBeAbsent()] = False,
    ad_keyframes: MotionKeyframes | None = None,
) -> Model:
    """Let a model make videos. A module of version 2 runs as of version 1, unless it is told."""
    motion = Motion(
        model_name,
        tuple(motion_lora or ()),
        Multival(motion_scale),
        keyframes=tuple(ad_keyframes or ()),
    )
    joins = not apply_v2_models_properly
    evolved_by = Evolved((motion,), tuple(context_options or ()), joins, sample_settings)
    return evolved(model, beta_schedule, evolved_by)


@node("AnimateDiffLoaderV1", runs_on=Stage.INLINE, deprecated=True)
def load_first_version(
    *,
    model: Model,
    latents: Latent,
    model_name: MotionFile,
    unlimited_area_hack: bool = False,  # noqa: ARG001 - of ComfyUI's memory; no result changes
    beta_schedule: OlderSchedule = ANIMATEDIFF,
) -> tuple[Model, Latent]:
    """Let a model make videos."""
    evolved_by = Evolved((Motion(model_name),), joins_v2_norms=True)
    return evolved(model, beta_schedule, evolved_by), latents


@node("ADE_AnimateDiffLoaderV1Advanced", runs_on=Stage.INLINE, deprecated=True)
def load_first_version_in_windows(
    *,
    model: Model,
    latents: Latent,
    model_name: MotionFile,
    unlimited_area_hack: bool = False,  # noqa: ARG001
    context_length: Annotated[int, Widget(min=0, max=1000)] = 16,
    context_stride: Annotated[int, Widget(min=1, max=1000)] = 1,
    context_overlap: Annotated[int, Widget(min=0, max=1000)] = 4,
    context_schedule: Annotated[str, Choices(("uniform",))],  # noqa: ARG001 - there is one
    closed_loop: bool = False,
    beta_schedule: OlderSchedule = ANIMATEDIFF,
) -> tuple[Model, Latent]:
    """Let a model make videos, in windows that go on at the beginning."""
    contexts: tuple[Context, ...] = ()
    if context_length:
        windows = Windows(
            "looped_uniform", context_length, context_overlap, context_stride, closed_loop
        )
        contexts = (Context(windows),)
    evolved_by = Evolved((Motion(model_name),), contexts, joins_v2_norms=True)
    return evolved(model, beta_schedule, evolved_by), latents


@node(
    "CheckpointLoaderSimpleWithNoiseSelect",
    runs_on=Stage.INLINE,
    display_name="Load Checkpoint w/ Noise Select 🎭🅐🅓",
    category=EXTRAS,
)
def load_checkpoint_with_schedule(
    *,
    ckpt_name: Annotated[ModelFile, Files("checkpoints")],
    beta_schedule: BetaSchedule = "use existing",
    use_custom_scale_factor: Annotated[bool, MayBeAbsent()] = False,
    scale_factor: Annotated[float, Widget(min=0.0, max=1.0, step=0.00001), MayBeAbsent()] = 0.18215,
) -> tuple[Model, Clip, Vae]:
    """Name the three models of a checkpoint, and the noise levels of the first."""
    model = Model(ckpt_name)
    if beta_schedule not in {"autoselect", "use existing"}:
        model = model.changed(BETA_SCHEDULE, name=beta_schedule)
    if use_custom_scale_factor:
        model = model.changed("latent_scale", scale=scale_factor)
    return model, Clip((ckpt_name,)), Vae(ckpt_name)


@node(
    "ADE_EmptyLatentImageLarge",
    runs_on=Stage.SAMPLE,
    display_name="Empty Latent Image (Big Batch) 🎭🅐🅓",
    category=EXTRAS,
)
def empty_latent_large(
    latents: Latents,
    *,
    width: Side = 512,
    height: Side = 512,
    batch_size: Annotated[int, Widget(min=1, max=262144)] = 1,
) -> Latent:
    """Make empty latents to denoise, as many as a long video has."""
    return latents.empty_latent(SD.shape(batch_size, width, height))


@node("ADE_AnimateDiffCombine", runs_on=Stage.OUTPUT, output_node=True, deprecated=True)
async def combine_frames(
    outputs: OutputFunctions,
    *,
    images: Image,
    frame_rate: Annotated[int, Widget(min=1, max=24, step=1)] = 8,
    loop_count: Annotated[int, Widget(min=0, max=100, step=1)] = 0,
    filename_prefix: str = "AnimateDiff",
    format: Literal["image/gif", "image/webp", "video/h264-mp4", "video/webm"],
    pingpong: bool = False,
    save_image: bool = True,
) -> Gif:
    """Make an animation of pictures."""
    how = Combining(
        format=format,
        frame_rate=float(frame_rate),
        loop_count=loop_count,
        pingpong=pingpong,
        saved=save_image,
    )
    return await outputs.combine_video(images, None, filename_prefix, how)
