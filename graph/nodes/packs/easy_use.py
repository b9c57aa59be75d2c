"""ComfyUI-Easy-Use: its constants."""

from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage

CATEGORY = "EasyUse/Logic/Type"
LARGEST = 0xFFFFFFFFFFFFFFFF


@node(
    "easy string",
    runs_on=Stage.INLINE,
    display_name="String",
    category=CATEGORY,
    outputs=("string",),
)
def text(*, value: str = "") -> str:
    """Give a text."""
    return value


@node("easy int", runs_on=Stage.INLINE, display_name="Int", category=CATEGORY, outputs=("int",))
def whole(*, value: Annotated[int, Widget(min=-999999, max=999999)] = 0) -> int:
    """Give a whole number."""
    return value


@node(
    "easy float",
    runs_on=Stage.INLINE,
    display_name="Float",
    category=CATEGORY,
    outputs=("float",),
)
def number(*, value: Annotated[float, Widget(min=-LARGEST, max=LARGEST, step=0.01)] = 0.0) -> float:
    """Give a number."""
    return value


@node(
    "easy boolean",
    runs_on=Stage.INLINE,
    display_name="Boolean",
    category=CATEGORY,
    outputs=("boolean",),
)
def boolean(*, value: bool = False) -> bool:
    """Give yes or no."""
    return value
