"""Nodes that steer a workflow: lazy, expanding, blocking, over lists, with any inputs."""

import math
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Protocol, TypedDict, Unpack

from graph.dynamic_inputs import Growing, Option, Options
from graph.hooks import Hooks
from graph.node import (
    Default,
    Hidden,
    Input,
    Lazy,
    MayBeAbsent,
    NodeType,
    RawLink,
    Widget,
    declared_in,
    node,
)
from graph.nodes import internal
from graph.prompt import Node, Source
from graph.results import ExecutionBlocker, Expansion
from graph.stages import Stage
from graph.values import Items, Link

Anything = Annotated[Any, Link("*")]
Maybe = Annotated[Any, Link("*"), MayBeAbsent()]
Int = Annotated[int, MayBeAbsent()]
Flag = Annotated[bool, MayBeAbsent()]
Text = Annotated[str, MayBeAbsent()]
Branch = Annotated[Any | None, Link("*"), Lazy()]
Number = Annotated[Any, Link("NUMBER")]
Expanded = Annotated[Any, Link("*")]


class Calls(Protocol):
    async def record(self, name: str, *values: Any) -> Any: ...


def chosen(inputs: Mapping[str, Any]) -> list[str]:
    """The branch of a Switch that its condition asks for."""
    name = "on_true" if inputs["condition"] else "on_false"
    return [name] if inputs.get(name) is None else []


@node("Constant", runs_on=Stage.INLINE)
def constant(*, value: Int = 0) -> int:
    return value


@node("Fail", runs_on=Stage.INLINE)
def fail(*, value: Int = 0) -> int:
    raise OtherError(value)


class OtherError(Exception):
    """Of a node, and not meant for callers."""


@node("Make", runs_on=Stage.IMAGE)
async def make(
    calls: Calls, *, value: Annotated[int, Widget(max=100), MayBeAbsent()] = 0
) -> Anything:
    await calls.record("Make", value)
    return value


@node("Add", runs_on=Stage.IMAGE)
async def add(calls: Calls, *, a: Anything, b: Maybe = 1) -> Anything:
    await calls.record("Add", a, b)
    return a + b


@node("Switch", runs_on=Stage.IMAGE, hooks=Hooks(lazy=chosen))
async def switch(
    calls: Calls, *, condition: Flag = True, on_true: Branch = None, on_false: Branch = None
) -> Anything:
    await calls.record("Switch", condition, on_true, on_false)
    return on_true if condition else on_false


@node("SwitchHere", runs_on=Stage.INLINE, hooks=Hooks(lazy=chosen))
def switch_here(
    *, condition: Flag = True, on_true: Branch = None, on_false: Branch = None
) -> Anything:
    return on_true if condition else on_false


@node("IsLarge", runs_on=Stage.IMAGE)
async def is_large(calls: Calls, *, value: Anything) -> bool:
    await calls.record("IsLarge", value)
    return bool(value > 10)


@node("CountDown", runs_on=Stage.IMAGE, expands=True)
async def count_down(
    calls: Calls, *, count: Annotated[int, Widget(max=1000)] = 0, total: Maybe = 0
) -> Expanded:
    """`total` and all numbers down from `count`, one expansion for each."""
    await calls.record("CountDown", count)
    if count == 0:
        return total
    nodes = {
        "sum": Node("Add", {"a": total, "b": count}),
        "next": Node("CountDown", {"count": count - 1, "total": Source("sum", 0)}),
    }
    return Expansion(nodes, (Source("next", 0),))


@node("Twice", runs_on=Stage.IMAGE, expands=True)
async def twice(
    _calls: Calls,
    *,
    value: Annotated[Any, Link("*"), RawLink()],
    unique_id: Annotated[str, Hidden.NODE_ID] = "",
) -> Expanded:
    """The value added to itself, which it never sees."""
    nodes = {f"{unique_id}.sum": Node("Add", {"a": value, "b": value})}
    return Expansion(nodes, (Source(f"{unique_id}.sum", 0),), global_ids=True)


@node("Nested", runs_on=Stage.IMAGE, expands=True)
async def nested(
    _calls: Calls, *, depth: int = 0, step: Annotated[Any, Hidden.STEP] = None
) -> Expanded:
    """An expansion in an expansion, each node of which is to be told as the one that made it."""
    if depth == 0:
        return 0
    inner = f"{step.node_id}.in"
    nodes = {inner: Node("Nested", {"depth": depth - 1})}
    return Expansion(nodes, (Source(inner, 0),), {inner: step.node_id}, global_ids=True)


@node("Mixed", runs_on=Stage.IMAGE, expands=True)
async def mixed(_calls: Calls, *, value: Anything) -> tuple[Anything, Anything]:
    return Expansion(  # type: ignore[return-value]
        {"more": Node("Add", {"a": value, "b": 1})}, (value, Source("more", 0))
    )


@node("Odd", runs_on=Stage.IMAGE, expands=True)
async def odd(_calls: Calls, *, how: Text = "", turn: Int = 0) -> Expanded:
    """An expansion that cannot be."""
    graphs = {
        "unknown": {"a": Node("NoSuch", {})},
        "circle": {
            "a": Node("Add", {"a": Source("b", 0)}),
            "b": Node("Add", {"a": Source("a", 0)}),
        },
        "endless": {"a": Node("Odd", {"how": "endless", "turn": turn + 1})},
        "itself": {"a": Node("Odd", {"how": "itself"})},
    }
    return Expansion(graphs[how], (Source("a", 0),))


@node("Saving", runs_on=Stage.IMAGE, expands=True, output_node=True)
async def saving(_calls: Calls, *, value: Anything) -> Expanded:
    """An output node that is another one."""
    return Expansion({"save": Node("Save", {"value": value})}, (value,))


@node("Block", runs_on=Stage.INLINE)
def block(*, value: Anything, blocked: Flag = False, message: Text = "") -> Anything:
    return ExecutionBlocker(message or None) if blocked else value


@node("BlockOdd", runs_on=Stage.IMAGE)
async def block_odd(_calls: Calls, *, value: Anything) -> Anything:
    return ExecutionBlocker("odd") if value % 2 else value


@node("Count", runs_on=Stage.IMAGE, list_outputs=(0,))
async def count(calls: Calls, *, to: Int = 3) -> Annotated[Items, Link("*")]:
    await calls.record("Count", to)
    return Items(tuple(range(to)))


@node("Sum", runs_on=Stage.IMAGE, input_is_list=True)
async def total(calls: Calls, *, values: Anything) -> Anything:
    await calls.record("Sum", *values)
    return sum(values)


@node(
    "Now",
    runs_on=Stage.IMAGE,
    hooks=Hooks(changed=lambda inputs: math.nan if inputs.get("always") else inputs["stamp"] // 10),
)
async def now(calls: Calls, *, stamp: Int = 0, always: Flag = False) -> Anything:
    await calls.record("Now", stamp)
    return stamp


def even(inputs: Mapping[str, Any], types: Mapping[str, str]) -> Any:
    if types:
        return types == {"other": "INT"} or f"other must be an INT, not {types['other']}"
    return inputs["value"] % 2 == 0 or f"{inputs['value']} is odd"


@node(
    "Even",
    runs_on=Stage.IMAGE,
    hooks=Hooks(validate=even, validates=frozenset({"value", "input_types"})),
)
async def only_even(
    calls: Calls,
    *,
    value: Annotated[int, Widget(max=10), MayBeAbsent()] = 0,
    other: Annotated[Any | None, Link("INT")] = None,
) -> Anything:
    await calls.record("Even", value)
    return value


@node("Any", runs_on=Stage.IMAGE)
async def anything(calls: Calls, *, first: Anything, **others: Any) -> Anything:
    await calls.record("Any", first, *sorted(others.items()))
    return first


class Shared(TypedDict):
    width: Annotated[int, Widget(min=1), MayBeAbsent(), Default(7)]
    height: Annotated[int, MayBeAbsent(), Default(8)]
    depth: Annotated[int | None, Default(None)]


@node("Sized", runs_on=Stage.IMAGE)
async def sized(calls: Calls, *, value: Anything, **sizes: Unpack[Shared]) -> Anything:
    await calls.record("Sized", value, sizes["width"], sizes["height"], sizes.get("depth"))
    return value


NUMBER = Input("number", "*")
GROWING = Growing.counted(NUMBER, "number", 1, 4)
MODES = Options(
    (
        Option("flat", {}),
        Option(
            "deep",
            {
                "depth": Input("depth", "INT", required=False, default=3),
                "inner": Input("inner", "STRING"),
            },
        ),
    )
)


@node("Grown", runs_on=Stage.IMAGE)
async def grown(
    calls: Calls,
    *,
    numbers: Annotated[Any, GROWING],
    mode: Annotated[Any, MODES],
) -> Anything:
    await calls.record("Grown", dict(numbers), dict(mode))
    return sum(numbers.values())


@node("Save", runs_on=Stage.OUTPUT, output_node=True)
async def save(calls: Calls, *, value: Anything) -> None:
    await calls.record("Save", value)


def flow_types() -> dict[str, NodeType]:
    """The language above, and what expansions need."""
    return declared_in(sys.modules[__name__]) | declared_in(internal)
