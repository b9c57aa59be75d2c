"""Hooks: LoRAs, and what checkpoints differ by, that come and go with prompts."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

from graph.errors import ServiceError
from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.values import (
    Clip,
    ClipHooks,
    HookKeyframe,
    Hooks,
    Keyframes,
    Link,
    ModelFile,
    WeightHook,
)
from graph.weight_hooks import (
    along,
    between,
    bounded,
    joined,
    made_behind,
    scheduled,
    with_keyframes,
)

CREATE, SCHEDULE = "advanced/hooks/create", "advanced/hooks/scheduling"
COMBINE = "advanced/hooks/combine"
MOST_STRENGTH = 20.0
LoraName = Annotated[ModelFile, Files("loras")]
CheckpointName = Annotated[ModelFile, Files("checkpoints")]
Strength = Annotated[float, Widget(min=-20.0, max=20.0, step=0.01)]
Factor = Annotated[float, Widget(min=0.0, max=10.0, step=0.001)]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
Curve: TypeAlias = Literal["linear", "ease_in", "ease_out", "ease_in_out"]
Floats: TypeAlias = Annotated[Any, Link("FLOATS")]


@dataclass(eq=False)
class FloatsError(ServiceError):
    """Something else than strengths."""

    status = 422
    code = "floats_invalid"
    template = "Input 'floats_strength': must be numbers from -20 to 20, got {received}."
    received: str


def _hooked(prev: Hooks | None, hook: WeightHook) -> Hooks:
    before = prev or ()
    if hook.strength_model == 0 and hook.strength_clip == 0:
        return before
    return bounded("prev_hooks", joined(before, (made_behind(hook, before),)))


@node(
    "CreateHookLora",
    runs_on=Stage.INLINE,
    display_name="Create Hook LoRA",
    category=CREATE,
    experimental=True,
)
def create_lora_hook(
    *,
    lora_name: LoraName,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
    prev_hooks: Hooks | None = None,
) -> Hooks:
    """Name a LoRA for some prompts."""
    return _hooked(prev_hooks, WeightHook("lora", lora_name, strength_model, strength_clip))


@node(
    "CreateHookLoraModelOnly",
    runs_on=Stage.INLINE,
    display_name="Create Hook LoRA (MO)",
    category=CREATE,
    experimental=True,
)
def create_model_lora_hook(
    *, lora_name: LoraName, strength_model: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """Name a LoRA for some prompts, and not for their text encoder."""
    return _hooked(prev_hooks, WeightHook("lora", lora_name, strength_model))


@node(
    "CreateHookModelAsLora",
    runs_on=Stage.INLINE,
    display_name="Create Hook Model as LoRA",
    category=CREATE,
    experimental=True,
)
def create_model_hook(
    *,
    ckpt_name: CheckpointName,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
    prev_hooks: Hooks | None = None,
) -> Hooks:
    """Use what a checkpoint differs by as a LoRA for some prompts."""
    hook = WeightHook("model_as_lora", ckpt_name, strength_model, strength_clip)
    return _hooked(prev_hooks, hook)


@node(
    "CreateHookModelAsLoraModelOnly",
    runs_on=Stage.INLINE,
    display_name="Create Hook Model as LoRA (MO)",
    category=CREATE,
    experimental=True,
)
def create_model_only_hook(
    *, ckpt_name: CheckpointName, strength_model: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """Use what a checkpoint differs by as a LoRA for some prompts, not for their text encoder."""
    return _hooked(prev_hooks, WeightHook("model_as_lora", ckpt_name, strength_model))


@node(
    "CreateHookKeyframe",
    runs_on=Stage.INLINE,
    display_name="Create Hook Keyframe",
    category=SCHEDULE,
    experimental=True,
    outputs=("HOOK_KF",),
)
def create_keyframe(
    *,
    strength_mult: Strength = 1.0,
    start_percent: When = 0.0,
    prev_hook_kf: Keyframes | None = None,
) -> Keyframes:
    """Change how strong hooks are from a part of the schedule on."""
    own = HookKeyframe(strength_mult, start_percent)
    return bounded("prev_hook_kf", with_keyframes(prev_hook_kf or (), [own]))


@node(
    "CreateHookKeyframesInterpolated",
    runs_on=Stage.INLINE,
    display_name="Create Hook Keyframes Interp.",
    category=SCHEDULE,
    experimental=True,
    outputs=("HOOK_KF",),
)
def create_keyframes_between(
    *,
    strength_start: Factor = 1.0,
    strength_end: Factor = 1.0,
    interpolation: Curve,
    start_percent: When = 0.0,
    end_percent: When = 1.0,
    keyframes_count: Annotated[int, Widget(min=2, max=100, step=1)] = 5,
    print_keyframes: bool = False,  # noqa: ARG001 - nobody reads the log
    prev_hook_kf: Keyframes | None = None,
) -> Keyframes:
    """Let the strength of hooks follow a curve."""
    strengths = between(strength_start, strength_end, keyframes_count, interpolation)
    own = along(start_percent, end_percent, strengths)
    return bounded("prev_hook_kf", with_keyframes(prev_hook_kf or (), own))


@node(
    "CreateHookKeyframesFromFloats",
    runs_on=Stage.INLINE,
    display_name="Create Hook Keyframes From Floats",
    category=SCHEDULE,
    experimental=True,
    outputs=("HOOK_KF",),
)
def create_keyframes_of(
    *,
    floats_strength: Floats,
    start_percent: When = 0.0,
    end_percent: When = 1.0,
    print_keyframes: bool = False,  # noqa: ARG001 - nobody reads the log
    prev_hook_kf: Keyframes | None = None,
) -> Keyframes:
    """Let the strength of hooks follow numbers."""
    given = floats_strength if isinstance(floats_strength, list | tuple) else (floats_strength,)
    bounded("floats_strength", tuple(given))
    try:
        strengths = [float(number) for number in given]
    except (TypeError, ValueError):
        raise FloatsError(type(floats_strength).__name__) from None
    for strength in strengths:
        if not abs(strength) <= MOST_STRENGTH:  # which none is that is no number
            raise FloatsError(str(strength))
    own = along(start_percent, end_percent, strengths)
    return bounded("prev_hook_kf", with_keyframes(prev_hook_kf or (), own))


@node(
    "SetHookKeyframes",
    runs_on=Stage.INLINE,
    display_name="Set Hook Keyframes",
    category=SCHEDULE,
    experimental=True,
)
def set_keyframes(*, hooks: Hooks, hook_kf: Keyframes | None = None) -> Hooks:
    """Say how strong hooks are as sampling goes on."""
    return hooks if hook_kf is None else scheduled(hooks, hook_kf)


@node(
    "CombineHooks2",
    runs_on=Stage.INLINE,
    display_name="Combine Hooks [2]",
    category=COMBINE,
    experimental=True,
)
def combine_two(
    *,
    hooks_A: Hooks | None = None,  # noqa: N803 - the names on the wire
    hooks_B: Hooks | None = None,  # noqa: N803
) -> Hooks:
    """Put hooks side by side."""
    return bounded("hooks_B", joined(hooks_A, hooks_B))


@node(
    "CombineHooks4",
    runs_on=Stage.INLINE,
    display_name="Combine Hooks [4]",
    category=COMBINE,
    experimental=True,
)
def combine_four(
    *,
    hooks_A: Hooks | None = None,  # noqa: N803
    hooks_B: Hooks | None = None,  # noqa: N803
    hooks_C: Hooks | None = None,  # noqa: N803
    hooks_D: Hooks | None = None,  # noqa: N803
) -> Hooks:
    """Put hooks side by side."""
    return bounded("hooks_D", joined(hooks_A, hooks_B, hooks_C, hooks_D))


@node(
    "CombineHooks8",
    runs_on=Stage.INLINE,
    display_name="Combine Hooks [8]",
    category=COMBINE,
    experimental=True,
)
def combine_eight(
    *,
    hooks_A: Hooks | None = None,  # noqa: N803
    hooks_B: Hooks | None = None,  # noqa: N803
    hooks_C: Hooks | None = None,  # noqa: N803
    hooks_D: Hooks | None = None,  # noqa: N803
    hooks_E: Hooks | None = None,  # noqa: N803
    hooks_F: Hooks | None = None,  # noqa: N803
    hooks_G: Hooks | None = None,  # noqa: N803
    hooks_H: Hooks | None = None,  # noqa: N803
) -> Hooks:
    """Put hooks side by side."""
    first = joined(hooks_A, hooks_B, hooks_C, hooks_D)
    return bounded("hooks_H", joined(first, hooks_E, hooks_F, hooks_G, hooks_H))


@node(
    "SetClipHooks",
    runs_on=Stage.INLINE,
    display_name="Set CLIP Hooks",
    category="advanced/hooks/clip",
    experimental=True,
)
def set_clip_hooks(
    *,
    clip: Clip,
    apply_to_conds: bool = True,
    schedule_clip: bool = False,
    hooks: Hooks | None = None,
) -> Clip:
    """Encode prompts under hooks, and let the hooks go on with them."""
    if not hooks:
        return clip
    before = () if clip.hooks is None else clip.hooks.on_conditions
    return replace(clip, hooks=ClipHooks(hooks, hooks if apply_to_conds else before, schedule_clip))
