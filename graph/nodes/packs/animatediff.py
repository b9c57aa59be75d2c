"""AnimateDiff: loading motion modules and applying them. Nodes of ComfyUI-AnimateDiff-Evolved."""

from typing import Annotated, TypedDict, Unpack

from graph.motion import (
    BETA_SCHEDULE,
    BETA_SCHEDULES,
    EVOLVED,
    Contexts,
    Evolved,
    Motion,
    MotionKeyframe,
    MotionKeyframes,
    MotionLora,
    MotionLoras,
    MotionModel,
    Motions,
    Multival,
    SampleSettings,
)
from graph.node import Choices, Files, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.values import Model, ModelFile

CATEGORY = "Animate Diff 🎭🅐🅓"
GEN1 = f"{CATEGORY}/① Gen1 nodes ①"
GEN2 = f"{CATEGORY}/② Gen2 nodes ②"
MOST_STEPS = 2**53 - 1

BetaSchedule = Annotated[str, Choices(BETA_SCHEDULES)]
MotionFile = Annotated[ModelFile, Files("animatediff_models")]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
Guarantee = Annotated[int, Widget(min=0, max=MOST_STEPS), MayBeAbsent()]


class Moved(TypedDict, total=False):
    motion_lora: MotionLoras | None
    scale_multival: Multival | None
    effect_multival: Multival | None
    ad_keyframes: MotionKeyframes | None


def motion_of(
    file: ModelFile, *, start_percent: float = 0.0, end_percent: float = 1.0, **moved: Unpack[Moved]
) -> Motion:
    """A motion module, moved so."""
    return Motion(
        file,
        tuple(moved.get("motion_lora") or ()),
        moved.get("scale_multival"),
        moved.get("effect_multival"),
        tuple(moved.get("ad_keyframes") or ()),
        start_percent,
        end_percent,
    )


def evolved(model: Model, beta_schedule: str, evolved_by: Evolved) -> Model:
    """`model` with what the pack lays on it, and the noise levels of a beta schedule."""
    model = model.changed(EVOLVED, evolved=evolved_by)
    if beta_schedule == "autoselect":
        if not evolved_by.motions:
            return model
        return model.changed(BETA_SCHEDULE, name="", motion=evolved_by.motions[0].file)
    if beta_schedule == "use existing":
        return model
    return model.changed(BETA_SCHEDULE, name=beta_schedule)


@node(
    "ADE_AnimateDiffLoRALoader",
    runs_on=Stage.INLINE,
    display_name="Load AnimateDiff LoRA 🎭🅐🅓",
    category=CATEGORY,
)
def load_motion_lora(
    *,
    name: Annotated[ModelFile, Files("animatediff_motion_lora")],
    strength: Annotated[float, Widget(min=0.0, max=10.0, step=0.001)] = 1.0,
    prev_motion_lora: MotionLoras | None = None,
) -> MotionLoras:
    """Name a LoRA for motion modules."""
    return (*(prev_motion_lora or ()), MotionLora(name, strength))


@node(
    "ADE_AnimateDiffKeyframe",
    runs_on=Stage.INLINE,
    display_name="AnimateDiff Keyframe 🎭🅐🅓",
    category=CATEGORY,
)
def motion_keyframe(
    *,
    start_percent: When = 0.0,
    prev_ad_keyframes: MotionKeyframes | None = None,
    scale_multival: Multival | None = None,
    effect_multival: Multival | None = None,
    inherit_missing: Annotated[bool, MayBeAbsent()] = True,
    guarantee_steps: Guarantee = 1,
) -> MotionKeyframes:
    """Change how strongly a motion module moves, from a part of the schedule on."""
    own = MotionKeyframe(
        start_percent, scale_multival, effect_multival, inherit_missing, guarantee_steps
    )
    return (*(prev_ad_keyframes or ()), own)


@node(
    "ADE_AnimateDiffLoaderGen1",
    runs_on=Stage.INLINE,
    display_name="AnimateDiff Loader 🎭🅐🅓①",
    category=GEN1,
)
def load_first_generation(
    *,
    model: Model,
    model_name: MotionFile,
    beta_schedule: BetaSchedule = "autoselect",
    context_options: Contexts | None = None,
    sample_settings: SampleSettings | None = None,
    **moved: Unpack[Moved],
) -> Model:
    """Let a model make videos."""
    motion = motion_of(model_name, **moved)
    evolved_by = Evolved((motion,), tuple(context_options or ()), settings=sample_settings)
    return evolved(model, beta_schedule, evolved_by)


@node(
    "ADE_LoadAnimateDiffModel",
    runs_on=Stage.INLINE,
    display_name="Load AnimateDiff Model 🎭🅐🅓②",
    category=GEN2,
    outputs=("MOTION_MODEL",),
)
def load_motion_model(*, model_name: MotionFile) -> MotionModel:
    """Name a motion module."""
    return MotionModel(model_name)


@node(
    "ADE_ApplyAnimateDiffModelSimple",
    runs_on=Stage.INLINE,
    display_name="Apply AnimateDiff Model 🎭🅐🅓②",
    category=GEN2,
)
def apply_motion_simply(*, motion_model: MotionModel, **moved: Unpack[Moved]) -> Motions:
    """Say how strongly a motion module moves."""
    return (motion_of(motion_model.file, **moved),)


@node(
    "ADE_ApplyAnimateDiffModel",
    runs_on=Stage.INLINE,
    display_name="Apply AnimateDiff Model (Adv.) 🎭🅐🅓②",
    category=GEN2,
)
def apply_motion(
    *,
    motion_model: MotionModel,
    start_percent: When = 0.0,
    end_percent: When = 1.0,
    prev_m_models: Motions | None = None,
    **moved: Unpack[Moved],
) -> Motions:
    """Say how strongly and when a motion module moves, behind others."""
    own = motion_of(
        motion_model.file, start_percent=start_percent, end_percent=end_percent, **moved
    )
    return (own, *(prev_m_models or ()))


@node(
    "ADE_UseEvolvedSampling",
    runs_on=Stage.INLINE,
    display_name="Use Evolved Sampling 🎭🅐🅓②",
    category=GEN2,
)
def use_evolved_sampling(
    *,
    model: Model,
    beta_schedule: BetaSchedule = "autoselect",
    m_models: Motions | None = None,
    context_options: Contexts | None = None,
    sample_settings: SampleSettings | None = None,
) -> Model:
    """Let a model make videos, or batches in windows."""
    evolved_by = Evolved(
        tuple(m_models or ()), tuple(context_options or ()), settings=sample_settings
    )
    return evolved(model, beta_schedule, evolved_by)
