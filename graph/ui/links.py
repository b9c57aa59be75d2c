"""What an input is fed with in the end: through reroutes, bypasses, subgraphs and primitives."""

from dataclasses import dataclass
from typing import Any

from graph.prompt import BadLinkedInput, DependencyCycle, Source, WorkflowTooLarge
from graph.ui.document import (
    BYPASSED,
    INPUT_NODE,
    MUTED,
    OUTPUT_NODE,
    SET_NODE,
    Link,
    Slot,
    UiNode,
)
from graph.ui.frames import OWN_INPUT, Frame
from graph.ui.widget_values import label

PRIMITIVE = "PrimitiveNode"
REROUTES = frozenset({"Reroute", "Reroute (rgthree)"})
GET_NODE = "GetNode"  # with SetNode, KJNodes' links by name
ONLY_SHOWN = frozenset(
    {
        "Note",
        "MarkdownNote",
        "Label (rgthree)",
        "Bookmark (rgthree)",
        "Fast Groups Muter (rgthree)",
        "Fast Groups Bypasser (rgthree)",
        "Fast Muter (rgthree)",
        "Fast Bypasser (rgthree)",
        "Fast Actions Button (rgthree)",
        "Mute / Bypass Relay (rgthree)",
        "Mute / Bypass Repeater (rgthree)",
        "Node Collector (rgthree)",
        "Random Unmuter (rgthree)",
    }
)
VIRTUAL = ONLY_SHOWN | REROUTES | {PRIMITIVE, GET_NODE, SET_NODE}


@dataclass(frozen=True)
class Resolved:
    """Where an input leads: a Source or a constant; None means nowhere, its own widget counts.

    `trail` names the (handle, input)s on the way, `primitive` the PrimitiveNode a constant is from.
    """

    value: Any
    trail: tuple[tuple[str, str], ...] = ()
    primitive: UiNode | None = None


@dataclass(frozen=True)
class _Place:
    """A link on the way (None or "": the way ends), and the input (node id, name) it leads into."""

    frame: Frame
    link_id: str | None
    consumer: tuple[str, str]


class Resolver:
    """Follows the links of one document, in all no more than `max_links`."""

    def __init__(self, max_links: int = 100_000) -> None:
        self._max_links = max_links
        self._followed = 0

    def resolve(self, frame: Frame, node: UiNode, slot: Slot) -> Resolved:
        """What input `slot` of `node` gets.

        Raises:
            BadLinkedInput: a link on the way, or the node it starts from, is not there.
            DependencyCycle: the way leads back to itself.
            WorkflowTooLarge: with this one, the ways are longer than `max_links`.
        """
        walk = _Walk(frame, node, slot)
        found = walk.resolved(self._max_links - self._followed)
        self._followed += walk.length
        return found


class _Walk:
    """One way upstream, from an input to what feeds it."""

    def __init__(self, frame: Frame, node: UiNode, slot: Slot) -> None:
        self._start = frame, node, slot
        self._trail: list[tuple[str, str]] = []
        self._host_value: Any = None  # of the outermost instance on the way that sets one
        self._seen: set[tuple[Frame, str]] = set()

    @property
    def length(self) -> int:
        """Links followed."""
        return len(self._seen)

    def resolved(self, max_links: int) -> Resolved:
        frame, node, slot = self._start
        place = _Place(frame, slot.link, (node.id, slot.name))
        while place.link_id:
            if (place.frame, place.link_id) in self._seen:
                raise DependencyCycle(*self._complaint("its link leads back to itself"))
            self._seen.add((place.frame, place.link_id))
            if self.length > max_links:
                raise WorkflowTooLarge(*self._complaint("too many links lead up to it"))
            step = self._step(place)
            if not isinstance(step, _Place):
                return step
            place = step
        return Resolved(self._host_value, tuple(self._trail))

    def _step(self, place: _Place) -> _Place | Resolved:
        link = place.frame.graph.links.get(place.link_id or "")
        if link is None:
            raise BadLinkedInput(*self._complaint(f"link {place.link_id} is not in the file"))
        if link.origin == INPUT_NODE and place.frame.parent is not None:
            return self._outside(place, link, place.frame.parent)
        origin = place.frame.graph.nodes.get(link.origin)
        if origin is None:
            problem = f"it is linked to node {link.origin}, which is not in the file"
            raise BadLinkedInput(*self._complaint(problem))
        return self._through(place.frame, origin, link.origin_slot)

    def _through(self, frame: Frame, node: UiNode, output: int) -> _Place | Resolved:
        """On from an output of `node`, by what kind of node it is."""
        if node.type == PRIMITIVE:
            return self._primitive(frame, node)
        if node.mode == BYPASSED:
            return _entered(frame, node, _bypass_input(node, output, self._start[2].type))
        if node.mode == MUTED or node.type in ONLY_SHOWN | REROUTES:
            passes = node.mode != MUTED and node.type in REROUTES
            return _entered(frame, node, 0 if passes else None)
        if node.type == GET_NODE:
            return _entered(frame, frame.graph.set_nodes.get(str(node.first_value)), 0)
        if node.id in frame.children:
            return _inside(frame.children[node.id], node, output)
        return Resolved(Source(frame.node_path(node.id), output), tuple(self._trail))

    def _primitive(self, frame: Frame, node: UiNode) -> Resolved:
        self._trail.append((frame.node_path(node.id), "value"))
        value = frame.values.get((node.id, "value"), node.first_value)
        found = self._host_value if value is None else value
        return Resolved(found, tuple(self._trail), node)

    def _outside(self, place: _Place, link: Link, parent: Frame) -> _Place:
        """From an input of a subgraph to what its instance has there."""
        frame, instance = place.frame, place.frame.instance
        assert instance is not None
        slots, own = instance.inputs or (), frame.graph.inputs
        name = own[link.origin_slot].name if 0 <= link.origin_slot < len(own) else ""
        self._trail.append((":".join(frame.path), name))
        for values, key in (
            (frame.values, place.consumer),
            (frame.values, (OWN_INPUT, name)),
            (parent.values, (instance.id, name)),
        ):
            self._host_value = values.get(key, self._host_value)
        slot = instance.inputs_by_name.get(name)
        if slot is None and 0 <= link.origin_slot < len(slots) and len(slots) == len(own):
            slot = slots[link.origin_slot]
        return _Place(parent, slot.link if slot else None, (instance.id, name))

    def _complaint(self, problem: str) -> tuple[str, str, str]:
        frame, node, slot = self._start
        sentence = f"{label(node)}, input {slot.name!r}: {problem}."
        return sentence, frame.node_path(node.id), slot.name


def _entered(frame: Frame, node: UiNode | None, index: int | None) -> _Place:
    """On to the link of an input; the end of the way where there is none."""
    slots = node.inputs or () if node else ()
    if node is None or index is None or not 0 <= index < len(slots):
        return _Place(frame, None, ("", ""))
    return _Place(frame, slots[index].link, (node.id, slots[index].name))


def _inside(child: Frame, instance: UiNode, output: int) -> _Place:
    """The link that feeds an output of a subgraph; outputs go by name, as they can be reordered."""
    own = child.graph.outputs
    shown = instance.outputs[output].name if 0 <= output < len(instance.outputs) else ""
    same = 0 <= output < len(own) and own[output].name == shown
    index = output if same else child.graph.output_indices.get(shown, output)
    feeding = child.graph.links_into.get(OUTPUT_NODE, {}).get(index)
    return _Place(child, feeding, (OUTPUT_NODE, shown))


def _bypass_input(node: UiNode, output: int, wanted: str) -> int | None:
    """The input that a bypassed node passes on to `output`, for an input of type `wanted`."""
    slots = node.inputs or ()
    if wanted == "*":
        return output if output < len(slots) else 0
    kind = node.outputs[output].type if 0 <= output < len(node.outputs) else "*"
    fits = [_compatible(s.type, kind) and _compatible(s.type, wanted) for s in slots]
    if 0 <= output < len(slots) and fits[output]:
        return output
    exact = [i for i, slot in enumerate(slots) if slot.type == wanted]
    return next(iter([*exact, *(i for i, fit in enumerate(fits) if fit)]), None)


def _compatible(one: str, other: str) -> bool:
    if "*" in (one, other):
        return True
    return not _members(one).isdisjoint(_members(other))


def _members(kind: str) -> set[str]:
    return {member.strip() for member in kind.casefold().split(",")}
