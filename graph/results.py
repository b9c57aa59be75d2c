"""What node functions return, and how they are mapped over lists."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from graph.prompt import Node
from graph.values import Items

if TYPE_CHECKING:
    from graph.node import NodeType


@dataclass(frozen=True)
class ExecutionBlocker:
    """An output that keeps what follows from running. A message is told as that node's error."""

    message: str | None = None


@dataclass(frozen=True, eq=False)
class Expansion:
    """A graph that a node gives instead of results.

    `outputs` are the node's own: values, or Sources in `nodes` or in the graph around. Ids get the
    node's id before them, unless `global_ids` says that they are unique already. `shown_as` names
    the node of the workflow that another one counts as; else it is the node that expanded.
    """

    nodes: Mapping[str, Node]
    outputs: tuple[Any, ...] = ()
    shown_as: Mapping[str, str] = field(default_factory=dict)
    global_ids: bool = False


Outcome: TypeAlias = tuple[Any, ...] | Expansion  # of one call of a node function


def as_outputs(node_type: "NodeType", returned: Any) -> Outcome:
    """What a node function returned, by socket."""
    if isinstance(returned, Expansion):
        return returned
    if isinstance(returned, ExecutionBlocker):
        return (returned,) * len(node_type.outputs)
    if not node_type.outputs:
        return ()
    return tuple(returned) if len(node_type.outputs) > 1 else (returned,)


def item_calls(
    node_type: "NodeType", inputs: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], bool]:
    """The inputs of each call of a node function, and whether lists were taken apart for it.

    A node runs once per item, short lists repeating their last, or once with all as lists
    (ComfyUI's execution.py, _async_map_node_over_list). With an empty list there is nothing to do.
    """
    lists = {name: value.values for name, value in inputs.items() if isinstance(value, Items)}
    if node_type.input_is_list:
        return [{name: list(lists.get(name, (value,))) for name, value in inputs.items()}], False
    if not lists:
        return [dict(inputs)], False
    lengths = [len(items) for items in lists.values()]
    count = max(lengths) if min(lengths) else 0
    return [
        {**inputs, **{name: items[min(k, len(items) - 1)] for name, items in lists.items()}}
        for k in range(count)
    ], True


def blocked(inputs: Mapping[str, Any], *, lists: bool) -> ExecutionBlocker | None:
    """What keeps a call from being made, if something does."""
    for value in inputs.values():
        for item in value if lists else (value,):
            if isinstance(item, ExecutionBlocker):
                return item
    return None


def merged(slots: int, results: Iterable[tuple[Any, ...]], *, mapped: bool) -> tuple[Any, ...]:
    """The outputs of all calls as those of the node."""
    each = list(results)
    if not mapped:
        return each[0]
    return tuple(
        Items(tuple(item for outputs in each for item in _items(outputs[slot])))
        for slot in range(slots)
    )


def _items(value: Any) -> tuple[Any, ...]:
    return value.values if isinstance(value, Items) else (value,)
