"""Who needs whom, in time that is linear in the nodes and links, however many outputs there are."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

from graph.dynamic_inputs import layout
from graph.node import Input, NodeType
from graph.prompt import Node, Source, Workflow

SourcesOf: TypeAlias = Callable[[str], Iterable[str]]  # the nodes that a node is linked to
Edges: TypeAlias = Mapping[str, tuple[str, ...]]


def needed_by(wanted: Iterable[str], sources_of: SourcesOf) -> set[str]:
    """`wanted` and every node upstream of it: one walk from all of them together."""
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += sources_of(here)
    return found


def reached_from(starts: Iterable[str], onward: SourcesOf, at_most: int) -> dict[str, list[str]]:
    """For each node that `onward` leads to from `starts`, the first `at_most` of them that it does.

    Upstream from outputs it finds those that need a node; downstream from broken nodes, those that
    an output needs. A node that has its share ends the walk: all that is beyond it has its share
    too. So each node is entered `at_most` times, not once for each start.
    """
    found: dict[str, list[str]] = {}
    for start in dict.fromkeys(starts):
        waiting = [start]
        while waiting:
            here = waiting.pop()
            own = found.setdefault(here, [])
            if len(own) == at_most or (own and own[-1] == start):
                continue
            own.append(start)
            waiting += onward(here)
    return found


def requested_outputs(
    workflow: Workflow,
    node_types: Mapping[str, NodeType],
    elsewhere: Mapping[str, Any],
) -> tuple[str, ...]:
    """The output nodes, those the author chose first; also those that cannot run here.

    `elsewhere` has node types that are not here, in /object_info's format. A node that is in
    neither is an output if nothing reads it, as far as one can tell.
    """
    read = {source.node_id for node in workflow.nodes.values() for _, source in node.sources()}

    def is_output(node_id: str, node: Node) -> bool:
        if node_type := node_types.get(node.class_type):
            return node_type.output_node
        facts = elsewhere.get(node.class_type)
        return bool(facts.get("output_node")) if facts is not None else node_id not in read

    outputs = dict.fromkeys(i for i, node in workflow.nodes.items() if is_output(i, node))
    if workflow.targets is not None:
        outputs = dict.fromkeys(i for i in outputs if i in workflow.targets)
    chosen = dict.fromkeys(node_id for node_id in workflow.output_ids if node_id in outputs)
    return tuple(chosen | outputs)


def inputs_of(node_type: NodeType, node: Node) -> Mapping[str, Input]:
    """The inputs that a node of the type has, as far as the workflow says.

    A type that takes any input has those that it is given; so has one that takes any link, as
    ComfyUI hands links to `**kwargs`.
    """
    declared = layout(node_type.inputs, node.inputs).inputs
    if not (node_type.open_links or node_type.open_inputs):
        return declared
    others = {
        name: Input(name, "*", required=False, file_inside=node_type.file_inside)
        for name, value in node.inputs.items()
        if name not in declared and (node_type.open_inputs or isinstance(value, Source))
    }
    return {**declared, **others}


def sources(workflow: Workflow, node_types: Mapping[str, NodeType]) -> Edges:
    """The nodes that each node is linked to, of those that are there.

    As in ComfyUI a link into an input that the node's type does not have counts for nothing.
    """
    found = {}
    for node_id, node in workflow.nodes.items():
        node_type = node_types.get(node.class_type)
        taken = inputs_of(node_type, node) if node_type else {}
        links = [
            source.node_id for name, source in node.sources() if node_type is None or name in taken
        ]
        found[node_id] = tuple(dict.fromkeys(link for link in links if link in workflow.nodes))
    return found


def turned(edges: Edges) -> Edges:
    """The same edges from their other ends: the readers of each node."""
    found: dict[str, list[str]] = defaultdict(list)
    for here, there in edges.items():
        for each in there:
            found[each].append(here)
    return {node_id: tuple(readers) for node_id, readers in found.items()}


def cycles(nodes: Iterable[str], of: Edges) -> list[list[str]]:
    """Cycles among `nodes`, each as the way along its links back to its first node.

    Every node that cannot be ordered is in one of them, or linked to one, maybe through others.
    """
    sorter = TopologicalSorter({node_id: of.get(node_id, ()) for node_id in nodes})
    try:
        sorter.prepare()
    except CycleError:
        pass
    else:
        return []
    left = dict.fromkeys(nodes)
    while ready := sorter.get_ready():
        sorter.done(*ready)
        for node_id in ready:
            left.pop(node_id, None)
    onward = {node_id: next(each for each in of[node_id] if each in left) for node_id in left}
    found: list[list[str]] = []
    seen: set[str] = set()
    for node_id in left:
        way: dict[str, None] = {}
        here = node_id
        while here not in seen:
            seen.add(here)
            way[here] = None
            here = onward[here]
        if here in way:
            passed = list(way)
            found.append([*passed[passed.index(here) :], here])
    return found
