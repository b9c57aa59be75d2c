"""Parses the editor's file into typed graphs: nodes, slots and links.

Leniency ends here: missing keys, null links, numbers as ids and both link notations (arrays of
version 0.4, objects of version 1) come out alike, so the rest of the package need not ask.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from graph.prompt import WorkflowUnreadable

OWN_INPUT = "-1"  # in place of an inner node's id: the subgraph's own input
INPUT_NODE = "-10"  # a subgraph's own inputs, as the origin of links inside it
OUTPUT_NODE = "-20"  # its outputs, as their target

MUTED = 2  # "never"
BYPASSED = 4

SETTERS = frozenset({"SetNode", "easy setNode"})  # links by name, of KJNodes and Easy-Use

MAX_NUMBER = 10**15


@dataclass(frozen=True)
class Slot:
    """An input or output of a node or a subgraph. `widget` is the widget an input stands for.

    `links` are those that a slot of a subgraph has inside, in the order that the file gives them.
    """

    name: str
    type: str = "*"
    link: str | None = None
    widget: str = ""
    links: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Link:
    """From an output slot to an input slot of one graph. `is_made`: the file does not have it."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int
    is_made: bool = False


@dataclass(frozen=True)
class Box:
    """A rectangle on the canvas."""

    x: float
    y: float
    width: float
    height: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in it."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


@dataclass(frozen=True)
class UiGroup:
    """A titled frame around nodes."""

    title: str
    box: Box


@dataclass(frozen=True, eq=False)
class UiNode:
    """A node as saved. `stored_id` stays when the node gets another id."""

    id: str
    type: str
    mode: int = 0
    title: str = ""
    inputs: tuple[Slot, ...] | None = None  # None: the file has no list of them
    outputs: tuple[Slot, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    values: list[Any] | dict[str, Any] | None = None
    named_values: Mapping[str, Any] = field(default_factory=dict)
    stored_id: str = ""
    color: str = ""
    box: Box = Box(0, 0, 0, 0)

    @property
    def search_name(self) -> str:
        """Its "Node name for S&R"."""
        name = self.properties.get("Node name for S&R")
        return name if isinstance(name, str) else ""

    @property
    def first_value(self) -> Any:
        """What a node of one value, such as PrimitiveNode, holds; None if the file has none."""
        if isinstance(self.values, dict):
            return self.values.get("value")
        return self.values[0] if self.values else None

    @cached_property
    def inputs_by_name(self) -> Mapping[str, Slot]:
        """Its inputs by name; of two of one name the first."""
        return {slot.name: slot for slot in reversed(self.inputs or ())}


@dataclass(frozen=True, eq=False)
class UiGraph:
    """The root, or the definition of a subgraph with the slots it shows outside."""

    nodes: Mapping[str, UiNode]
    links: Mapping[str, Link]
    name: str = ""
    inputs: tuple[Slot, ...] = ()
    outputs: tuple[Slot, ...] = ()
    groups: tuple[UiGroup, ...] = ()

    @cached_property
    def links_into(self) -> Mapping[str, Mapping[int, str]]:
        """Links by the node and the slot they end at.

        Of two to one input the last counts, of two to an output of the subgraph the first.
        """
        into = links_by_target(self.links)
        if OUTPUT_NODE in into:
            backwards = dict(reversed([*self.links.items()]))
            into[OUTPUT_NODE] = links_by_target(backwards)[OUTPUT_NODE]
        return into

    @cached_property
    def input_names(self) -> frozenset[str]:
        """The names of the subgraph's inputs."""
        return frozenset(slot.name for slot in self.inputs)

    @cached_property
    def inner_links(self) -> Mapping[str, tuple[Link, ...]]:
        """The links of each of the subgraph's inputs by its name, in the order they count in."""
        found: dict[int, dict[str, Link]] = {}
        for key, link in self.links.items():
            if link.origin == INPUT_NODE and not link.is_made:
                found.setdefault(link.origin_slot, {})[key] = link
        return {
            slot.name: tuple(
                found[index][key]
                for key in dict.fromkeys((*slot.links, *found[index]))
                if key in found[index]
            )
            for index, slot in reversed([*enumerate(self.inputs)])
            if index in found
        }

    @cached_property
    def fed_from_outside(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        """The subgraph's inputs, as ("-1", name), by (node id, slot name) that they lead to."""
        fed = {}
        for name, links in self.inner_links.items():
            for link in links:
                slots = self.nodes[link.target].inputs if link.target in self.nodes else ()
                if slots and 0 <= link.target_slot < len(slots):
                    fed[link.target, slots[link.target_slot].name] = (OWN_INPUT, name)
        return fed

    @cached_property
    def output_indices(self) -> Mapping[str, int]:
        """Places of the subgraph's outputs by name; of two of one name the first."""
        return {slot.name: index for index, slot in reversed([*enumerate(self.outputs)])}

    @cached_property
    def setters(self) -> Mapping[tuple[str, str], UiNode]:
        """SetNodes by type and the name that GetNodes ask for; of two of one name the first."""
        setters = [node for node in self.nodes.values() if node.type in SETTERS]
        return {(node.type, str(node.first_value)): node for node in reversed(setters)}


@dataclass(frozen=True)
class UiDocument:
    """A whole file. `last_node_id` is the counter new ids are drawn from."""

    root: UiGraph
    subgraphs: Mapping[str, UiGraph]
    last_node_id: int
    extra: Mapping[str, Any]
    models: tuple[Any, ...] = ()


def read_document(document: Mapping[str, Any]) -> UiDocument:
    """Read a UI file.

    Raises:
        WorkflowUnreadable: a node or link is not what it must be.
    """
    root = read_graph(document)
    definitions = as_dict(document.get("definitions")).get("subgraphs")
    subgraphs = {}
    for definition in as_list(definitions):
        if isinstance(definition, dict) and (key := id_text(definition.get("id"))):
            subgraphs[key] = read_graph(definition)
    counter = document.get("last_node_id", as_dict(document.get("state")).get("lastNodeId"))
    last = max([number(counter), *(number(key) for key in root.nodes)])
    models = tuple(as_list(document.get("models")))
    return UiDocument(root, subgraphs, last, as_dict(document.get("extra")), models)


def read_graph(graph: Mapping[str, Any]) -> UiGraph:
    """One graph of the file, its links repaired where the file leaves them out of the nodes."""
    nodes: dict[str, UiNode] = {}
    for item in as_list(graph.get("nodes")):
        if item is None:
            continue
        node = read_node(item)
        if node.id in nodes:
            problem = f"Two nodes have the id {node.id!r}."
            raise WorkflowUnreadable(problem, node.id, "")
        nodes[node.id] = node
    saved_links = graph.get("links")
    items = saved_links.values() if isinstance(saved_links, dict) else as_list(saved_links)
    links = dict(filter(None, map(_read_link, items)))
    into = links_by_target(links)
    name = graph.get("name")
    return UiGraph(
        {key: _with_links(node, into.get(key, {})) for key, node in nodes.items()},
        links,
        name if isinstance(name, str) else "",
        _slots(graph.get("inputs")) or (),
        _slots(graph.get("outputs")) or (),
        tuple(map(_read_group, as_list(graph.get("groups")))),
    )


def _read_group(item: object) -> UiGroup:
    title, box = as_dict(item).get("title"), as_list(as_dict(item).get("bounding"))
    return UiGroup(title if isinstance(title, str) else "", _read_box(box[:2], box[2:]))


def _read_box(place: object, size: object) -> Box:
    """A box from [x, y] and [width, height], which old files write {"0": ..., "1": ...}."""

    def pair(value: object) -> tuple[float, float]:
        items = as_list(value) or [as_dict(value).get(key) for key in ("0", "1")]
        first, second = (
            item if isinstance(item, int | float) else 0 for item in (*items, 0, 0)[:2]
        )
        return first, second

    return Box(*pair(place), *pair(size))


def read_node(item: object) -> UiNode:
    """A node as saved in a graph or in a group node."""
    key, kind = id_text(as_dict(item).get("id")), as_dict(item).get("type")
    if not isinstance(item, dict) or not key or not isinstance(kind, str) or not kind:
        problem = f"A node must be an object with an id and a type, got {item!r:.60}."
        raise WorkflowUnreadable(problem, key, "")
    mode, title, values = item.get("mode"), item.get("title"), item.get("widgets_values")
    return UiNode(
        id=key,
        type=kind,
        mode=mode if isinstance(mode, int) else 0,
        title=title if isinstance(title, str) else "",
        inputs=_slots(item.get("inputs")),
        outputs=_slots(item.get("outputs")) or (),
        properties=as_dict(item.get("properties")),
        values=values if isinstance(values, list | dict) else None,
        named_values=as_dict(item.get("widgets_values_named")),
        stored_id=key,
        color=color if isinstance(color := item.get("color"), str) else "",
        box=_read_box(item.get("pos"), item.get("size")),
    )


def _slots(items: object) -> tuple[Slot, ...] | None:
    if not isinstance(items, list):
        return None
    return tuple(_slot(item if isinstance(item, dict) else {}) for item in items)


def _slot(item: Mapping[str, Any]) -> Slot:
    name, kind, widget = item.get("name"), item.get("type"), item.get("widget")
    label = item.get("label") or item.get("localized_name")
    link = item.get("link", "")  # "": the file does not say; the graph's links may
    return Slot(
        name=name if isinstance(name, str) else "",
        type=kind.strip() if isinstance(kind, str) and kind.strip() else "*",
        link=None if link is None else id_text(link),
        widget=_widget_name(widget, name),
        links=tuple(id_text(key) for key in as_list(item.get("linkIds"))),
        label=label if isinstance(label, str) else "",
    )


def _widget_name(widget: object, slot_name: object) -> str:
    if not isinstance(widget, dict):
        return ""
    name = widget.get("name", slot_name)
    return name if isinstance(name, str) else ""


def _read_link(item: object) -> tuple[str, Link] | None:
    match item:
        case [key, origin, origin_slot, target, target_slot, *_]:
            pass
        case {"id": key, "origin_id": origin, "target_id": target, **slots}:
            origin_slot, target_slot = slots.get("origin_slot"), slots.get("target_slot")
        case _:  # null, or a remnant: nothing can lead through it
            return None
    link = Link(id_text(origin), number(origin_slot), id_text(target), number(target_slot))
    return id_text(key), link


def links_by_target(links: Mapping[str, Link]) -> dict[str, dict[int, str]]:
    """Ids of links by the node and the slot they end at."""
    into: dict[str, dict[int, str]] = {}
    for key, link in links.items():
        into.setdefault(link.target, {})[link.target_slot] = key
    return into


def _with_links(node: UiNode, into: Mapping[int, str]) -> UiNode:
    """`node` with the links its input slots do not mention."""
    if node.inputs is None or all(slot.link != "" for slot in node.inputs):
        return node
    slots = enumerate(node.inputs)
    inputs = (replace(s, link=into.get(i)) if s.link == "" else s for i, s in slots)
    return replace(node, inputs=tuple(inputs))


def id_text(value: object) -> str:
    """An id as text: 5, 5.0 and "5" are one; "" where there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def number(value: object) -> int:
    """A whole number from a slot or an id; 0 where it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if abs(value) < MAX_NUMBER else 0
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16
    return int(str(value)) if is_digits else 0


def as_list(value: object) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_dict(value: object) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
