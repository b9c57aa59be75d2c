"""Values chosen between, combined and listed. What a switch does not choose is not computed."""

from collections.abc import Mapping
from typing import Annotated, Any

from graph.dynamic_inputs import Growing
from graph.hooks import Hooks
from graph.node import Choices, Input, Lazy, Match, MayBeAbsent, node
from graph.stages import Stage
from graph.values import Items, Link

CATEGORY = "utilities/logic"
MOST_VALUES = 10
Anything = Annotated[Any, Link("*")]
Branch = Annotated[Any, Link("*"), Match("switch"), Lazy()]
Chosen = Annotated[Any, Link("*"), Match("switch")]
Values = Annotated[Mapping[str, Any], Growing.counted(Input("value", "*"), "value", 1, MOST_VALUES)]
Listed = Annotated[
    Mapping[str, Any],
    Growing.counted(Input("input", "*", match="type"), "input", 1, MOST_VALUES),
]


def _branch(inputs: Mapping[str, Any]) -> list[str]:
    name = "on_true" if inputs["switch"] else "on_false"
    return [name] if inputs.get(name) is None else []


@node(
    "ComfySwitchNode",
    runs_on=Stage.INLINE,
    display_name="If/Else Switch",
    category=CATEGORY,
    outputs=("output",),
    experimental=True,
    hooks=Hooks(lazy=_branch),
)
def switch(*, switch: bool, on_false: Branch, on_true: Branch) -> Chosen:
    """Pass one of two values on; the other is not computed."""
    return on_true if switch else on_false


@node("ComfyNotNode", runs_on=Stage.INLINE, display_name="Not", category=CATEGORY)
def negated(*, value: Anything) -> bool:
    """Whether a value is false, by Python's rules."""
    return not value


@node("ComfyAndNode", runs_on=Stage.INLINE, display_name="And", category=CATEGORY)
def all_true(*, values: Values) -> bool:
    """Whether all values are true, by Python's rules."""
    return all(values.values())


@node("ComfyOrNode", runs_on=Stage.INLINE, display_name="Or", category=CATEGORY)
def any_true(*, values: Values) -> bool:
    """Whether one of the values is true, by Python's rules."""
    return any(values.values())


@node(
    "CustomCombo",
    runs_on=Stage.INLINE,
    display_name="Custom Combo",
    category="utilities",
    outputs=("STRING", "INDEX"),
    experimental=True,
    hooks=Hooks(validates=frozenset({"choice"})),  # its choices are the editor's
)
def custom_combo(
    *, choice: Annotated[str, Choices(())], index: Annotated[int, MayBeAbsent()] = 0
) -> tuple[str, int]:
    """Give one of the texts that its author wrote, and its place among them."""
    return str(choice), index


@node(
    "CreateList",
    runs_on=Stage.INLINE,
    display_name="Create List",
    category="utilities",
    outputs=("list",),
    input_is_list=True,
    list_outputs=(0,),
)
def create_list(*, inputs: Listed) -> Annotated[Items, Link("*"), Match("type")]:
    """Put values on one link: what follows runs once for each."""
    return Items(tuple(value for values in inputs.values() for value in values))
