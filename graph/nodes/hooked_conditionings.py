"""Prompts under hooks: where, when and with which weights they apply."""

from dataclasses import replace
from typing import Annotated, Literal, TypeAlias, TypedDict, Unpack

from graph.node import Default, Widget, node
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


class Properties(TypedDict):
    strength: Annotated[Strength, Default(1.0)]
    set_cond_area: Area
    mask: Mask | None
    hooks: Hooks | None
    timesteps: Range | None


def _conditioned(stage: Conditionings, conditioning: Conditioning, own: Properties) -> Conditioning:
    """The strength is that of the mask, and without one none."""
    conditioned, mask, timesteps = hooked(conditioning, own["hooks"]), own["mask"], own["timesteps"]
    if mask is not None:
        bounds = own["set_cond_area"] != "default"
        conditioned = stage.set_mask(conditioned, mask, own["strength"], bounds=bounds)
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
    **properties: Unpack[Properties],
) -> Conditioning:
    """Say where, when and under which hooks a prompt applies."""
    return _conditioned(stage, cond_NEW, properties)


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
    **properties: Unpack[Properties],
) -> Conditioning:
    """Follow a prompt beside another, and say where, when and under which hooks it applies."""
    return (*cond, *_conditioned(stage, cond_NEW, properties))


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
    **properties: Unpack[Properties],
) -> Pair:
    """As `ConditioningSetProperties`, for two prompts."""
    positive = _conditioned(stage, positive_NEW, properties)
    return positive, _conditioned(stage, negative_NEW, properties)


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
    **properties: Unpack[Properties],
) -> Pair:
    """As `ConditioningSetPropertiesAndCombine`, for two prompts."""
    first = (*positive, *_conditioned(stage, positive_NEW, properties))
    return first, (*negative, *_conditioned(stage, negative_NEW, properties))


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
