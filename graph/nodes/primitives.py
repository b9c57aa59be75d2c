"""Primitive nodes: a value with a name."""

from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage

LARGEST = 2**63 - 1
Integer = Annotated[int, Widget(min=-LARGEST, max=LARGEST, control_after_generate=True)]
Number = Annotated[float, Widget(min=-LARGEST, max=LARGEST)]
Line = Annotated[str, Widget(multiline=False)]
Lines = Annotated[str, Widget(multiline=True)]


@node("PrimitiveInt", runs_on=Stage.INLINE, display_name="Int", category="utils/primitive")
def integer(*, value: Integer) -> int:
    return value


@node("PrimitiveFloat", runs_on=Stage.INLINE, display_name="Float", category="utils/primitive")
def number(*, value: Number) -> float:
    return value


@node("PrimitiveString", runs_on=Stage.INLINE, display_name="String", category="utils/primitive")
def line(*, value: Line) -> str:
    return value


@node(
    "PrimitiveStringMultiline",
    runs_on=Stage.INLINE,
    display_name="String (Multiline)",
    category="utils/primitive",
)
def lines(*, value: Lines) -> str:
    return value


@node("PrimitiveBoolean", runs_on=Stage.INLINE, display_name="Boolean", category="utils/primitive")
def boolean(*, value: bool) -> bool:
    return value
