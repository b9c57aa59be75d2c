"""AnimateDiff: numbers for frames and places. Nodes of ComfyUI-AnimateDiff-Evolved."""

from typing import Annotated, Any, Literal, TypeAlias

from graph.motion import Multival
from graph.node import MayBeAbsent, Widget, node
from graph.nodes.packs.animatediff import CATEGORY
from graph.stages import Stage
from graph.values import Link, Mask

WITHIN = f"{CATEGORY}/multival"
Strength = Annotated[float, Widget(min=0.0, step=0.001)]
Floats: TypeAlias = Annotated[Any, Link("FLOATS")]


def _numbers(given: Any) -> float | tuple[float, ...]:
    return tuple(map(float, given)) if isinstance(given, list | tuple) else float(given)


@node(
    "ADE_MultivalDynamic",
    runs_on=Stage.INLINE,
    display_name="Multival 🎭🅐🅓",
    category=WITHIN,
)
def multival(*, float_val: Strength = 1.0, mask_optional: Mask | None = None) -> Multival:
    """Give a number, in the places of a mask."""
    return Multival(_numbers(float_val), mask_optional)


@node(
    "ADE_MultivalDynamicFloatInput",
    runs_on=Stage.INLINE,
    display_name="Multival [Float List] 🎭🅐🅓",
    category=WITHIN,
)
def multival_of_input(
    *,
    float_val: Annotated[float, Widget(min=0.0, max=10.0, step=0.001, forceInput=True)] = 1.0,
    mask_optional: Mask | None = None,
) -> Multival:
    """Give a linked number, in the places of a mask."""
    return Multival(_numbers(float_val), mask_optional)


@node(
    "ADE_MultivalDynamicFloats",
    runs_on=Stage.INLINE,
    display_name="Multival [Floats] 🎭🅐🅓",
    category=WITHIN,
)
def multival_of_floats(*, floats: Floats, mask_optional: Mask | None = None) -> Multival:
    """Give a number for each frame, in the places of a mask."""
    return Multival(_numbers(floats), mask_optional)


@node(
    "ADE_MultivalScaledMask",
    runs_on=Stage.INLINE,
    display_name="Multival Scaled Mask 🎭🅐🅓",
    category=WITHIN,
)
def multival_scaled(
    *,
    min_float_val: Strength = 0.0,
    max_float_val: Strength = 1.0,
    mask: Mask,
    scaling: Annotated[Literal["absolute", "relative"], MayBeAbsent()] = "absolute",
) -> Multival:
    """Give the numbers of a mask, between two others."""
    return Multival(mask=mask, scaled=(scaling, float(min_float_val), float(max_float_val)))
