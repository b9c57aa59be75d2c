"""What a group node shows of the nodes in it: inputs, widgets and outputs, in the editor's order.

As editor 1.58.1 makes a node type of the definition when it opens a file (`groupNode.ts`,
GroupNodeConfig): for each inner node its widgets, its sockets and its outputs, as far as they are
not linked inside; at the end the widgets that the definition lists as slots.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graph.ui.document import Slot, UiNode, as_dict, as_list, id_text, read_node
from graph.ui.links import PRIMITIVE
from graph.ui.widgets import CONTROL, CONTROL_FILTER, SOCKET, UPLOAD, Widget, node_inputs, slots_of

REROUTE = "Reroute"
CONTROLLED = frozenset({"INT", "FLOAT", "COMBO"})  # what a PrimitiveNode adds a control to


@dataclass(frozen=True)
class GroupLink:
    """A link inside a group, by places: from an output of one node to an input of another."""

    origin: int
    origin_slot: int
    target: int
    target_slot: int
    type: str


@dataclass(frozen=True)
class Member:
    """A node of a group. `slots` are what its type has, `outputs` their types.

    `inputs` are its slots as the editor orders them: sockets, then widgets, then any others.
    """

    node: UiNode
    slots: tuple[Widget, ...]
    inputs: tuple[Slot, ...]
    outputs: tuple[str, ...]

    @cached_property
    def runs(self) -> tuple[tuple[Widget, ...], ...]:
        """Its widgets, each with the controls that follow it."""
        runs: list[list[Widget]] = []
        for slot in self.slots:
            if slot.sent or slot.kind == UPLOAD:
                runs.append([slot])
            elif slot.kind != SOCKET and runs:
                runs[-1].append(slot)
        return tuple(map(tuple, runs))


@dataclass(frozen=True)
class Group:
    """A group node's definition."""

    name: str
    members: tuple[Member, ...]
    links: tuple[GroupLink, ...]
    external: frozenset[tuple[int, int]]  # outputs shown although linked inside
    config: Mapping[str, Any]

    @cached_property
    def inside(self) -> frozenset[tuple[int, int]]:
        """The inputs, as (node index, slot), that are fed inside the group."""
        return frozenset((link.target, link.target_slot) for link in self.links)

    @cached_property
    def used(self) -> frozenset[tuple[int, int]]:
        """The outputs, as (node index, slot), that feed inputs inside the group."""
        return frozenset((link.origin, link.origin_slot) for link in self.links)

    def setting(self, index: int, side: str, name: str) -> Mapping[str, Any]:
        """What the author set of an input or output: `name`, `visible`."""
        return as_dict(as_dict(as_dict(self.config.get(str(index))).get(side)).get(name))


@dataclass
class Layout:
    """The slots and widgets of a group node. Sockets and converted widgets can be linked.

    Entries are (name that the group gives it, node index, what it is there).
    """

    sockets: list[tuple[str, int, str]] = field(default_factory=list)
    plain: list[tuple[str, int, tuple[Widget, ...]]] = field(default_factory=list)
    converted: list[tuple[str, int, tuple[Widget, ...]]] = field(default_factory=list)
    outputs: list[tuple[int, int]] = field(default_factory=list)

    def linked_inputs(self, instance: UiNode) -> Iterator[tuple[str, int, str]]:
        """The links into a group node: link id, node index, inner input.

        The editor looks a converted widget up among all slots as if there were no plain widgets
        before it; where there are some, its link is lost.
        """
        names = [name for name, _, _ in (*self.sockets, *self.plain, *self.converted)]
        targets = [*self.sockets, *((n, i, run[0].name) for n, i, run in self.converted)]
        saved = instance.inputs_by_name
        for name, (_, index, inner) in zip(names, targets, strict=False):
            slot = saved.get(name)
            if slot is not None and slot.link:
                yield slot.link, index, inner


def read_group(name: str, definition: Mapping[str, Any], node_types: Mapping[str, Any]) -> Group:
    """The definition of a group node.

    An entry of `external` counts if it names its node by its index; older files have the whole
    node there, which says nothing.
    """
    items = [item for item in as_list(definition.get("nodes")) if isinstance(item, dict)]
    nodes = [read_node({**item, "id": index}) for index, item in enumerate(items)]
    links, shown = [], set()
    for item in as_list(definition.get("links")):
        match item:
            case [int() as origin, int() as slot, int() as target, int() as target_slot, *rest]:
                kind = next((kind for kind in rest[1:2] if isinstance(kind, str)), "")
                if 0 <= origin < len(nodes) and 0 <= target < len(nodes):
                    links.append(GroupLink(origin, slot, target, target_slot, kind))
    for item in as_list(definition.get("external")):
        match item:
            case [int() as origin, int() as slot, kind, *_] if kind is not None:
                shown.add((origin, slot))
    kinds = {link.origin: link.type for link in reversed(links) if link.origin_slot == 0}
    members = [
        _primitive(node, kinds.get(index, ""))
        if node.type == PRIMITIVE
        else _member(node, node_types)
        for index, node in enumerate(nodes)
    ]
    config = as_dict(definition.get("config"))
    return Group(name, tuple(members), tuple(links), frozenset(shown), config)


def _member(node: UiNode, node_types: Mapping[str, Any]) -> Member:
    facts, listed = node_types.get(node.type), node.inputs or ()
    if not isinstance(facts, Mapping):
        own = node.values if isinstance(node.values, list) else []
        slots = tuple(Widget(f"UNKNOWN_{k}", "ANY") for k in range(len(own)))
        outputs = tuple(slot.type for slot in node.outputs)
        return Member(node, slots, listed, outputs)
    slots = slots_of(facts, node.type)
    kinds = {
        name: kind if isinstance(kind, str) else "COMBO" for name, kind, _ in node_inputs(facts)
    }
    sockets = [Slot(s.name, kinds.get(s.name, "*")) for s in slots if s.kind == SOCKET]
    widgets = [
        Slot(s.name, kinds.get(s.name, "*"), widget=s.name)
        for s in slots
        if (s.sent or s.kind == UPLOAD) and not s.options.get("socketless")
    ]
    known = {slot.name for slot in (*sockets, *widgets)}
    others = [slot for slot in listed if slot.name not in known]
    outputs = tuple(
        kind if isinstance(kind, str) else "COMBO" for kind in as_list(facts.get("output"))
    )
    return Member(node, slots, (*sockets, *widgets, *others), outputs)


def _primitive(node: UiNode, kind: str) -> Member:
    """A PrimitiveNode that feeds an input of type `kind`; with no link it is not shown at all."""
    if not kind:
        return Member(node, (), (), ())
    slots = [Widget("value", kind)]
    if kind in CONTROLLED:
        slots.append(Widget("control_after_generate", CONTROL))
    if kind == "COMBO":
        slots.append(Widget("control_filter_list", CONTROL_FILTER))
    return Member(node, tuple(slots), (), (kind,))


def layout_of(group: Group) -> Layout:
    """What the group shows."""
    layout, taken = Layout(), dict[str, int]()
    later: dict[int, list[tuple[int, tuple[Widget, ...]]]] = defaultdict(list)
    for index, member in enumerate(group.members):
        if member.node.type == REROUTE and _is_used_up(group, index):
            continue
        listed = {s.name: i for i, s in enumerate(member.node.inputs or ()) if s.widget == s.name}
        for run in member.runs:
            if run[0].name in listed:
                later[index].append((listed[run[0].name], run))
            else:
                layout.plain.append((_name(group, index, run[0].name, taken), index, run))
        for name, place in _sockets(group, index):
            if (index, place) in group.inside:
                continue
            shown = _name(group, index, name, taken)
            if group.setting(index, "input", name).get("visible") is not False:
                layout.sockets.append((shown, index, name))
        layout.outputs.extend(_outputs(group, index))
    for index, runs in later.items():
        for place, run in sorted(runs, key=lambda entry: entry[0]):
            if (index, place) not in group.inside:
                layout.converted.append((_name(group, index, run[0].name, taken), index, run))
    return layout


def _is_used_up(group: Group, index: int) -> bool:
    """Whether a Reroute only joins nodes of the group."""
    fed, feeds = (index, 0) in group.inside, (index, 0) in group.used
    return fed and feeds and (index, 0) not in group.external


def _sockets(group: Group, index: int) -> Iterator[tuple[str, int]]:
    """A node's sockets, as name and place in the definition's list of slots."""
    member = group.members[index]
    places = {slot.name: place for place, slot in enumerate(member.node.inputs or ())}
    if member.node.type == REROUTE:
        yield _reroute_type(group, index), 0  # named for its type; the slot itself has no name
        return
    sockets = [slot for slot in member.inputs if not slot.widget]
    for place, slot in enumerate(sockets):
        yield slot.name, places.get(slot.name, place)


def _reroute_type(group: Group, index: int) -> str:
    for link in group.links:
        if link.origin == index:
            slots = group.members[link.target].node.inputs or ()
            if 0 <= link.target_slot < len(slots):
                return slots[link.target_slot].type
    for link in group.links:
        if link.target == index:
            return link.type or "*"
    return "*"


def _outputs(group: Group, index: int) -> Iterator[tuple[int, int]]:
    """The outputs of a node that the group shows: those not used inside, or shown all the same."""
    member = group.members[index]
    count = 1 if member.node.type == REROUTE else len(member.outputs)
    for slot in range(count):
        hidden = (index, slot) in group.used and (index, slot) not in group.external
        visible = group.setting(index, "output", str(slot)).get("visible")
        if (not hidden) if visible is None else visible is not False:
            yield index, slot


def _name(group: Group, index: int, name: str, taken: dict[str, int]) -> str:
    """The editor's names: the input's own, with the node's title before it where that is taken."""
    node = group.members[index].node
    shown = id_text(group.setting(index, "input", name).get("name")) or name
    key = shown
    if shown in taken or (node.type == PRIMITIVE and node.title):
        prefix = node.title or node.type
        key = shown = f"{prefix} {name}"
        if shown in taken:
            shown = f"{prefix} {taken[shown]} {name}"
    taken[key] = taken.get(key, 1) + 1
    return shown
