"""Group nodes, the subgraphs of before 2025: `workflow>name`, defined in `extra.groupNodes`.

Editor 1.58.1 turns each into a subgraph when it opens a file: the inner nodes get the next free
ids, in order, and the instance the one after. So does this, and all else need not know of them.
What the editor loses on the way is lost here too: whether the group was muted or bypassed, links
through reroutes at its edge, and what PrimitiveNodes in it set.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
    links_by_target,
)
from graph.ui.group_layout import Group, Layout, Member, layout_of, read_group
from graph.ui.links import PRIMITIVE, compatible
from graph.ui.widget_values import MISSING, deal, own_values
from graph.ui.widgets import Widget

PREFIXES = ("workflow>", "workflow/")
MAX_DEGREE = 20  # links a node, on average
ALWAYS_PROMOTED = frozenset({"CLIPTextEncode", "LoadImage", "SaveImage", "PreviewImage"})
PROMOTED_WIDGET = "seed"


def ungroup(document: UiDocument, node_types: Mapping[str, Any], *, max_nodes: int) -> UiDocument:
    """`document` with a subgraph in place of each group node of the root.

    Raises:
        WorkflowTooLarge: over `max_nodes` in all of them, or as many links for each.
    """
    groups = _groups(document, node_types)
    used = Counter(node.type for node in document.root.nodes.values() if node.type in groups)
    sizes = [(len(groups[t].members) * n, len(groups[t].links) * n) for t, n in used.items()]
    if sum(n for n, _ in sizes) > max_nodes or sum(n for _, n in sizes) > max_nodes * MAX_DEGREE:
        problem = f"The workflow's group nodes hold more than {max_nodes} nodes."
        raise WorkflowTooLarge(problem, "", "")
    layouts = {kind: layout_of(group) for kind, group in groups.items()}
    last, nodes, subgraphs = document.last_node_id, {}, dict(document.subgraphs)
    new_ids: dict[str, str] = {}
    for node in document.root.nodes.values():
        group = groups.get(node.type)
        if group is None:
            nodes[node.id] = node
            continue
        ids = [str(last + 1 + index) for index in range(len(group.members))]
        last += len(ids) + 1
        new_ids[node.id] = str(last)
        graph, nodes[str(last)] = _as_subgraph(group, layouts[node.type], node, ids, str(last))
        subgraphs[nodes[str(last)].type] = graph
    links = {key: _moved(link, new_ids) for key, link in document.root.links.items()}
    root = replace(document.root, nodes=nodes, links=links)
    return replace(document, root=root, subgraphs=subgraphs, last_node_id=last)


def _groups(document: UiDocument, node_types: Mapping[str, Any]) -> dict[str, Group]:
    """The definitions of group nodes that the root uses, by type."""
    definitions = as_dict(document.extra.get("groupNodes"))
    groups = {}
    for kind in {node.type for node in document.root.nodes.values()} - node_types.keys():
        name = next((kind.removeprefix(p) for p in PREFIXES if kind.startswith(p)), None)
        if name is not None and name in definitions:
            groups[kind] = read_group(name, as_dict(definitions[name]), node_types)
    return groups


def _moved(link: Link, ids: Mapping[str, str]) -> Link:
    origin, target = ids.get(link.origin, link.origin), ids.get(link.target, link.target)
    return replace(link, origin=origin, target=target)


def _as_subgraph(
    group: Group, layout: Layout, instance: UiNode, ids: Sequence[str], new_id: str
) -> tuple[UiGraph, UiNode]:
    """The group as the definition of a subgraph, and its instance in place of the group node."""
    links = _inner_links(group, ids)
    shown: list[Slot] = []
    for link_id, index, place in _links_from_outside(group, layout, instance):
        kind = group.members[index].inputs[place].type
        links[f"in {len(shown)}"] = Link(INPUT_NODE, len(shown), ids[index], place)
        shown.append(Slot(f"input {len(shown)}", kind, link_id))
    into = links_by_target(links)
    for k, (index, slot) in enumerate(layout.outputs):
        links[f"out {k}"] = Link(ids[index], slot, OUTPUT_NODE, k)
    values = _values(group, layout, instance)
    nodes = {
        key: _inner_node(member, key, index, into.get(key, {}), values[index])
        for index, (key, member) in enumerate(zip(ids, group.members, strict=True))
    }
    outputs = tuple(Slot(f"output {k}") for k in range(len(layout.outputs)))
    promoted = [[key, name] for key, node in nodes.items() for name in _promoted(node)]
    return UiGraph(nodes, links, group.name, tuple(shown), outputs), replace(
        instance,
        id=new_id,
        type=f"group node {new_id}",
        mode=0,
        inputs=tuple(shown),
        outputs=(),
        properties={**instance.properties, "proxyWidgets": promoted},
        values=None,
        named_values={},
    )


def _links_from_outside(
    group: Group, layout: Layout, instance: UiNode
) -> Iterator[tuple[str, int, int]]:
    """Link id, node index and place of the input, of every link into the group."""
    places = [
        {slot.name: place for place, slot in reversed([*enumerate(member.inputs)])}
        for member in group.members
    ]
    for link_id, index, name in layout.linked_inputs(instance):
        if name in places[index]:
            yield link_id, index, places[index][name]


def _inner_node(
    member: Member, node_id: str, index: int, links: Mapping[int, str], values: list[Any] | None
) -> UiNode:
    slots = (replace(slot, link=links.get(i)) for i, slot in enumerate(member.inputs))
    return replace(
        member.node,
        id=node_id,
        stored_id=str(index),
        inputs=tuple(slots),
        values=values,
        named_values={},
    )


def _inner_links(group: Group, ids: Sequence[str]) -> dict[str, Link]:
    """The links inside; the editor makes none between types that do not fit."""
    links = {}
    for i, link in enumerate(group.links):
        outputs, inputs = group.members[link.origin].outputs, group.members[link.target].inputs
        kind = outputs[link.origin_slot] if 0 <= link.origin_slot < len(outputs) else "*"
        wanted = inputs[link.target_slot].type if 0 <= link.target_slot < len(inputs) else "*"
        if compatible(kind, wanted):
            target = ids[link.target]
            links[f"inside {i}"] = Link(
                ids[link.origin], link.origin_slot, target, link.target_slot
            )
    return links


def _promoted(node: UiNode) -> list[str]:
    """The widgets of an inner node that the editor shows on a subgraph it has just made."""
    slots = [slot for slot in node.inputs or () if slot.widget and not slot.link]
    return [s.name for s in slots if node.type in ALWAYS_PROMOTED or s.name == PROMOTED_WIDGET]


def _values(group: Group, layout: Layout, instance: UiNode) -> list[list[Any] | None]:
    """The values of the inner nodes: those of the group's widgets, laid end to end, else theirs."""
    left = iter(instance.values if isinstance(instance.values, list) else [])

    def next_value(_: Widget) -> Any:
        return next(left, MISSING)

    given: list[dict[str, Any]] = [{} for _ in group.members]
    for _, index, run in (*layout.plain, *layout.converted):
        for slot, value in deal(run, next_value):
            given[index][slot.name] = slot.default if value is MISSING else value
    return [_own(member, given[index]) for index, member in enumerate(group.members)]


def _own(member: Member, given: Mapping[str, Any]) -> list[Any] | None:
    """An inner node's saved values with those that the group sets."""
    if member.node.type == PRIMITIVE:
        return None
    own = own_values(member.node, member.slots)

    def value_of(slot: Widget) -> Any:
        value = given.get(slot.name)
        value = own.get(slot.name, MISSING) if value is None else value
        return slot.default if value is MISSING else value

    return [value for slot, value in deal(member.slots, value_of) if slot.saved]
