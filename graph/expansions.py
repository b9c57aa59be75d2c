"""Checks the graphs that nodes return in place of results."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from graph.errors import NodeFailed
from graph.prompt import Source
from graph.results import Expansion


@dataclass(frozen=True)
class Shown:
    """The node of the workflow that a step counts as."""

    node_id: str = ""
    class_type: str = ""


ITSELF = Shown()


def in_order(node_id: str, graph: Expansion, shown: Shown) -> Iterator[str]:
    """The nodes of a graph, each after those that it reads."""
    for new_id, node in graph.nodes.items():
        if any(link.node_id == node_id for _, link in node.sources()):
            problem = f"it expands to {new_id!r}, which needs it"
            raise NodeFailed(shown.node_id, shown.class_type, problem)
    links = {
        new_id: [link.node_id for _, link in node.sources() if link.node_id in graph.nodes]
        for new_id, node in graph.nodes.items()
    }
    try:
        yield from TopologicalSorter(links).static_order()
    except CycleError as error:
        problem = f"it expands to nodes that need each other: {' -> '.join(error.args[1])}"
        raise NodeFailed(shown.node_id, shown.class_type, problem) from error


def grown(node_id: str, index: int, graph: Expansion) -> Expansion:
    """An expansion with ids that no other node has."""
    if graph.global_ids:
        return graph
    ids = {own: f"{node_id}.{index}.{own}" for own in graph.nodes}

    def named(value: Any) -> Any:
        if isinstance(value, Source) and value.node_id in ids:
            return Source(ids[value.node_id], value.slot)
        return value

    nodes = {
        ids[own]: replace(node, inputs={name: named(v) for name, v in node.inputs.items()})
        for own, node in graph.nodes.items()
    }
    shown_as = {ids[own]: display for own, display in graph.shown_as.items()}
    return Expansion(nodes, tuple(map(named, graph.outputs)), shown_as, global_ids=True)
