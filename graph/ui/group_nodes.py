"""Group nodes, the subgraphs of before 2025: `workflow>name`, defined in `extra.groupNodes`.

Editor 1.58.1 turns each into a subgraph when it opens a file: the inner nodes get the next free
ids, in order, and the instance the one after. So does this, and all else need not know of them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from graph.prompt import WorkflowTooLarge
from graph.ui.document import (
    INPUT_NODE,
    OUTPUT_NODE,
    Link,
    Slot,
    UiDocument,
    UiGraph,
    UiNode,
    as_dict,
    as_list,
    id_text,
    links_by_target,
    number,
    read_node,
)
from graph.ui.links import PRIMITIVE
from graph.ui.widgets import CONTROL, Widget, widgets_of

PREFIXES = ("workflow>", "workflow/")
MAX_DEGREE = 20  # links a node, on average


@dataclass(frozen=True)
class _Group:
    """A group node's definition: its nodes by index, the links among them, what it hides."""

    name: str
    nodes: tuple[UiNode, ...]
    links: tuple[tuple[int, int, int, int], ...]  # origin index, slot, target index, slot
    external: frozenset[tuple[int, int]]  # outputs shown although linked inside
    config: Mapping[str, Any]

    def hides(self, index: int, side: str, name: str) -> bool:
        """Whether its author switched a slot or widget off."""
        of_node = as_dict(as_dict(self.config.get(str(index))).get(side))
        return as_dict(of_node.get(name)).get("visible") is False

    @cached_property
    def inside(self) -> frozenset[tuple[int, int]]:
        """The inputs, as (node index, slot), that are fed inside the group."""
        return frozenset((target, slot) for _, _, target, slot in self.links)


def ungroup(document: UiDocument, node_types: Mapping[str, Any], *, max_nodes: int) -> UiDocument:
    """`document` with a subgraph in place of each group node of the root.

    Raises:
        WorkflowTooLarge: over `max_nodes` in all of them, or as many links for each.
    """
    groups = _groups(document, node_types)
    used = Counter(node.type for node in document.root.nodes.values() if node.type in groups)
    sizes = [(len(groups[t].nodes) * n, len(groups[t].links) * n) for t, n in used.items()]
    if sum(n for n, _ in sizes) > max_nodes or sum(n for _, n in sizes) > max_nodes * MAX_DEGREE:
        problem = f"The workflow's group nodes hold more than {max_nodes} nodes."
        raise WorkflowTooLarge(problem, "", "")
    last, nodes, subgraphs = document.last_node_id, {}, dict(document.subgraphs)
    new_ids: dict[str, str] = {}
    for node in document.root.nodes.values():
        group = groups.get(node.type)
        if group is None:
            nodes[node.id] = node
            continue
        ids = [str(last + 1 + index) for index in range(len(group.nodes))]
        last += len(ids) + 1
        new_ids[node.id] = str(last)
        nodes[str(last)] = _instance(node, str(last))
        subgraphs[f"group node {last}"] = _as_graph(group, node, ids, node_types)
    links = {key: _moved(link, new_ids) for key, link in document.root.links.items()}
    root = replace(document.root, nodes=nodes, links=links)
    return replace(document, root=root, subgraphs=subgraphs, last_node_id=last)


def _groups(document: UiDocument, node_types: Mapping[str, Any]) -> dict[str, _Group]:
    """The definitions of group nodes that the root uses, by type."""
    definitions = as_dict(document.extra.get("groupNodes"))
    groups = {}
    for kind in {node.type for node in document.root.nodes.values()} - node_types.keys():
        name = next((kind.removeprefix(p) for p in PREFIXES if kind.startswith(p)), None)
        if name is not None and name in definitions:
            groups[kind] = _read_group(name, as_dict(definitions[name]))
    return groups


def _instance(node: UiNode, node_id: str) -> UiNode:
    """A group node as the instance of a subgraph."""
    kind, inputs = f"group node {node_id}", node.inputs or ()
    return replace(node, id=node_id, type=kind, inputs=inputs, values=None, named_values={})


def _read_group(name: str, definition: Mapping[str, Any]) -> _Group:
    items = [item for item in as_list(definition.get("nodes")) if isinstance(item, dict)]
    nodes = tuple(read_node({**item, "id": index}) for index, item in enumerate(items))
    links = []
    for item in as_list(definition.get("links")):
        match item:
            case [int() as origin, int() as slot, int() as target, int() as target_slot, *_]:
                links.append((origin, slot, target, target_slot))
    external = as_list(definition.get("external"))
    shown = {(number(e[0]), number(e[1])) for e in external if isinstance(e, list) and len(e) > 1}
    return _Group(name, nodes, tuple(links), frozenset(shown), as_dict(definition.get("config")))


def _moved(link: Link, ids: Mapping[str, str]) -> Link:
    origin, target = ids.get(link.origin, link.origin), ids.get(link.target, link.target)
    return replace(link, origin=origin, target=target)


def _as_graph(
    group: _Group, instance: UiNode, ids: list[str], node_types: Mapping[str, Any]
) -> UiGraph:
    """The group as the definition of a subgraph whose inputs go by the instance's names."""
    links = {
        f"inside {i}": Link(ids[origin], slot, ids[target], target_slot)
        for i, (origin, slot, target, target_slot) in enumerate(group.links)
        if 0 <= origin < len(ids) and 0 <= target < len(ids)
    }
    shown = instance.inputs or ()
    open_inputs = _in_order(list(_open_inputs(group)), [slot.name for slot in shown])
    for k, (index, slot, _) in enumerate(open_inputs):
        links[f"in {k}"] = Link(INPUT_NODE, k, ids[index], slot)
    outputs = list(_open_outputs(group))
    for k, (index, slot) in enumerate(outputs):
        links[f"out {k}"] = Link(ids[index], slot, OUTPUT_NODE, k)
    inner = _dealt(group, instance, node_types)
    into = links_by_target(links)
    nodes = {
        key: _linked(replace(node, id=key, stored_id=str(i)), into.get(key, {}))
        for i, (key, node) in enumerate(zip(ids, inner, strict=True))
    }
    names = tuple(Slot(name) for _, _, name in open_inputs)
    kinds = tuple(Slot(f"output {k}") for k in range(len(outputs)))
    return UiGraph(nodes, links, group.name, names, kinds)


def _linked(node: UiNode, into: Mapping[int, str]) -> UiNode:
    if node.inputs is None:
        return node
    slots = enumerate(node.inputs)
    return replace(node, inputs=tuple(replace(slot, link=into.get(i)) for i, slot in slots))


def _open_inputs(group: _Group) -> Iterator[tuple[int, int, str]]:
    """Inputs that can be linked from outside: node index, slot, the name the group gives it."""
    taken: dict[str, int] = {}
    for index, node in enumerate(group.nodes):
        for slot, item in enumerate(node.inputs or ()):
            if (index, slot) in group.inside or group.hides(index, "input", item.name):
                continue
            yield index, slot, _unique_name(group, index, item.name, taken)


def _unique_name(group: _Group, index: int, name: str, taken: dict[str, int]) -> str:
    """The editor's names: the input's own, with the node's title before it where that is taken."""
    config = as_dict(as_dict(as_dict(group.config.get(str(index))).get("input")).get(name))
    shown = id_text(config.get("name")) or name
    if shown in taken:
        prefix = group.nodes[index].title or group.nodes[index].type
        shown = f"{prefix} {name}"
        if shown in taken:
            shown = f"{prefix} {taken[shown]} {name}"
    taken[shown] = taken.get(shown, 1) + 1
    return shown


def _in_order(inputs: list[tuple[int, int, str]], shown: list[str]) -> list[tuple[int, int, str]]:
    """`inputs` under the names the instance shows them by: equal names, else the same place."""
    free = [name for name in shown if name not in {name for _, _, name in inputs}]
    known = set(shown)
    named = []
    for index, slot, name in inputs:
        named.append((index, slot, name if name in known or not free else free.pop(0)))
    return named


def _open_outputs(group: _Group) -> Iterator[tuple[int, int]]:
    """The group's outputs in order: those not used up inside, or shown all the same."""
    inside = {(origin, slot) for origin, slot, _, _ in group.links}
    for index, node in enumerate(group.nodes):
        for slot in range(len(node.outputs)):
            if (index, slot) in inside and (index, slot) not in group.external:
                continue
            if not group.hides(index, "output", str(slot)) and node.type != PRIMITIVE:
                yield index, slot


def _dealt(group: _Group, instance: UiNode, node_types: Mapping[str, Any]) -> tuple[UiNode, ...]:
    """The inner nodes with the values that the instance's widgets, laid end to end, give them."""
    values = iter(instance.values if isinstance(instance.values, list) else [])
    nodes = []
    for index, node in enumerate(group.nodes):
        own = list(node.values) if isinstance(node.values, list) else []
        names = {slot.name for slot in node.inputs or () if slot.widget}
        for k, widget in enumerate(_widgets(node, node_types)):
            shown = not group.hides(index, "input", widget.name) and widget.name not in names
            value = next(values, None) if shown else None
            own[k : k + 1] = [own[k] if value is None and k < len(own) else value]
        nodes.append(replace(node, values=own))
    return tuple(nodes)


def _widgets(node: UiNode, node_types: Mapping[str, Any]) -> tuple[Widget, ...]:
    facts = node_types.get(node.type)
    if isinstance(facts, Mapping):
        return widgets_of(facts)
    own = node.values if isinstance(node.values, list) else []
    if node.type == PRIMITIVE:
        return (Widget("value", "ANY"), Widget("control_after_generate", CONTROL))[: len(own)]
    return tuple(Widget(f"UNKNOWN_{k}", "ANY") for k in range(len(own)))
