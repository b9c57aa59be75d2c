"""Prompts under hooks: where, when and with which weights they apply."""

from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.sample import Conditionings
from graph.values import Conditioning, Hooks, Link, Mask
from graph.weight_hooks import joined

SINGLE, PAIR = "advanced/hooks/cond single", "advanced/hooks/cond pair"
OUTPUTS = ("positive", "negative")
Strength = Annotated[float, Widget(min=0.0, max=10.0, step=0.01)]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
Area: TypeAlias = Literal["default", "mask bounds"]
Range: TypeAlias = Annotated[tuple[float, float], Link("TIMESTEPS_RANGE")]
Pair: TypeAlias = tuple[Conditioning, Conditioning]


def _conditioned(
    stage: Conditionings,
    conditioning: Conditioning,
    *,
    strength: float,
    area: Area,
    mask: Mask | None,
    hooks: Hooks | None,
    timesteps: Range | None,
) -> Conditioning:
    """The strength is that of the mask, and without one none."""
    conditioned = hooked(conditioning, hooks)
    if mask is not None:
        conditioned = stage.set_mask(conditioned, mask, strength, bounds=area != "default")
    return conditioned if timesteps is None else stage.set_timestep_range(conditioned, *timesteps)


def hooked(conditioning: Conditioning, hooks: Hooks | None) -> Conditioning:
    """Prompts under more hooks."""
    return tuple(replace(own, hooks=joined(own.hooks, hooks)) for own in conditioning)


def _default(conditioning: Conditioning, hooks: Hooks | None) -> Conditioning:
    return tuple(replace(own, default=True) for own in hooked(conditioning, hooks))


@node(
    "ConditioningSetProperties",
    runs_on=Stage.SAMPLE,
    display_name="Cond Set Props",
    category=SINGLE,
    experimental=True,
)
def set_properties(
    stage: Conditionings,
    *,
    cond_NEW: Conditioning,  # noqa: N803 - the names on the wire
    strength: Strength = 1.0,
    set_cond_area: Area,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Range | None = None,
) -> Conditioning:
    """Say where, when and under which hooks a prompt applies."""
    return _conditioned(
        stage,
        cond_NEW,
        strength=strength,
        area=set_cond_area,
        mask=mask,
        hooks=hooks,
        timesteps=timesteps,
    )


@node(
    "ConditioningSetPropertiesAndCombine",
    runs_on=Stage.SAMPLE,
    display_name="Cond Set Props Combine",
    category=SINGLE,
    experimental=True,
)
def set_properties_and_combine(
    stage: Conditionings,
    *,
    cond: Conditioning,
    cond_NEW: Conditioning,  # noqa: N803
    strength: Strength = 1.0,
    set_cond_area: Area,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Range | None = None,
) -> Conditioning:
    """Follow a prompt beside another, and say where, when and under which hooks it applies."""
    new = _conditioned(
        stage,
        cond_NEW,
        strength=strength,
        area=set_cond_area,
        mask=mask,
        hooks=hooks,
        timesteps=timesteps,
    )
    return (*cond, *new)


@node(
    "PairConditioningSetProperties",
    runs_on=Stage.SAMPLE,
    display_name="Cond Pair Set Props",
    category=PAIR,
    experimental=True,
    outputs=OUTPUTS,
)
def set_pair_properties(
    stage: Conditionings,
    *,
    positive_NEW: Conditioning,  # noqa: N803
    negative_NEW: Conditioning,  # noqa: N803
    strength: Strength = 1.0,
    set_cond_area: Area,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Range | None = None,
) -> Pair:
    """As `ConditioningSetProperties`, for two prompts."""
    positive, negative = (
        _conditioned(
            stage,
            own,
            strength=strength,
            area=set_cond_area,
            mask=mask,
            hooks=hooks,
            timesteps=timesteps,
        )
        for own in (positive_NEW, negative_NEW)
    )
    return positive, negative


@node(
    "PairConditioningSetPropertiesAndCombine",
    runs_on=Stage.SAMPLE,
    display_name="Cond Pair Set Props Combine",
    category=PAIR,
    experimental=True,
    outputs=OUTPUTS,
)
def set_pair_properties_and_combine(
    stage: Conditionings,
    *,
    positive: Conditioning,
    negative: Conditioning,
    positive_NEW: Conditioning,  # noqa: N803
    negative_NEW: Conditioning,  # noqa: N803
    strength: Strength = 1.0,
    set_cond_area: Area,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: Range | None = None,
) -> Pair:
    """As `ConditioningSetPropertiesAndCombine`, for two prompts."""
    new = set_pair_properties(
        stage,
        positive_NEW=positive_NEW,
        negative_NEW=negative_NEW,
        strength=strength,
        set_cond_area=set_cond_area,
        mask=mask,
        hooks=hooks,
        timesteps=timesteps,
    )
    return (*positive, *new[0]), (*negative, *new[1])


@node(
    "ConditioningSetDefaultCombine",
    runs_on=Stage.SAMPLE,
    display_name="Cond Set Default Combine",
    category=SINGLE,
    experimental=True,
)
def set_default_and_combine(
    _stage: Conditionings,
    *,
    cond: Conditioning,
    cond_DEFAULT: Conditioning,  # noqa: N803
    hooks: Hooks | None = None,
) -> Conditioning:
    """Follow a prompt where no other one applies."""
    return (*cond, *_default(cond_DEFAULT, hooks))


@node(
    "PairConditioningSetDefaultCombine",
    runs_on=Stage.SAMPLE,
    display_name="Cond Pair Set Default Combine",
    category=PAIR,
    experimental=True,
    outputs=OUTPUTS,
)
def set_pair_default_and_combine(
    _stage: Conditionings,
    *,
    positive: Conditioning,
    negative: Conditioning,
    positive_DEFAULT: Conditioning,  # noqa: N803
    negative_DEFAULT: Conditioning,  # noqa: N803
    hooks: Hooks | None = None,
) -> Pair:
    """As `ConditioningSetDefaultCombine`, for two prompts."""
    first = (*positive, *_default(positive_DEFAULT, hooks))
    return first, (*negative, *_default(negative_DEFAULT, hooks))


@node(
    "ConditioningTimestepsRange",
    runs_on=Stage.INLINE,
    display_name="Timesteps Range",
    category="advanced/hooks",
    experimental=True,
    outputs=("TIMESTEPS_RANGE", "BEFORE_RANGE", "AFTER_RANGE"),
)
def timesteps_range(
    *, start_percent: When = 0.0, end_percent: When = 1.0
) -> tuple[Range, Range, Range]:
    """A part of the schedule, what is before it and what is behind it."""
    return (start_percent, end_percent), (0.0, start_percent), (end_percent, 1.0)
