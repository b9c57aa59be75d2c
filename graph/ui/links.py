"""Resolves the source of an input through reroutes, bypasses, subgraphs and primitives."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graph.prompt import (
    BadLinkedInput,
    DependencyCycle,
    Source,
    WorkflowTooLarge,
    WorkflowUnreadable,
)
from graph.ui.broadcasts import SENDERS
from graph.ui.document import (
    BYPASSED,
    INPUT_NODE,
    MUTED,
    OUTPUT_NODE,
    SETTERS,
    Link,
    Slot,
    UiNode,
)
from graph.ui.frames import Frame
from graph.ui.promotion import PromotedValues
from graph.ui.widget_values import label

PRIMITIVE = "PrimitiveNode"
REROUTES = frozenset({"Reroute", "Reroute (rgthree)"})
GETTERS = {"GetNode": "SetNode", "easy getNode": "easy setNode"}  # with the SETTERS they ask
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
VIRTUAL = ONLY_SHOWN | REROUTES | SETTERS | GETTERS.keys() | SENDERS | {PRIMITIVE}


@dataclass(frozen=True)
class Trail:
    """The (handle, input)s on a way, nearest first; ways that meet share what follows."""

    handle: tuple[str, str]
    rest: "Trail | None" = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        trail: Trail | None = self
        while trail is not None:
            yield trail.handle
            trail = trail.rest


@dataclass(frozen=True)
class Resolved:
    """Where an input leads: a Source or a constant; None means nowhere, its own widget counts.

    `trail` names the (handle, input)s on the way, `primitive` the PrimitiveNode a constant is from.
    """

    value: Any
    trail: Trail | None = None
    primitive: UiNode | None = None


@dataclass(frozen=True)
class _Place:
    """A link on the way (None or "": the way ends), and the type of the input it leads into.

    Where it leads into a reroute, that is the type of what the reroute leads into. `passed` is the
    (handle, input) that the way passed last.
    """

    frame: Frame
    link_id: str | None
    wanted: str
    passed: tuple[str, str] | None = None


@dataclass
class _Lost(Exception):  # noqa: N818
    """A way that cannot be followed, before it is known whose it is."""

    kind: type[WorkflowUnreadable]
    problem: str


class Resolver:
    """Follows the links of one document, each way once, in all no more than `max_steps`."""

    def __init__(self, promoted: PromotedValues, max_steps: int = 1_000_000) -> None:
        self._promoted = promoted
        self._steps_left = max_steps
        self._found: dict[tuple[Frame, str, str], Resolved] = {}

    def resolve(self, frame: Frame, node: UiNode, slot: Slot) -> Resolved:
        """What input `slot` of `node` gets.

        Raises:
            BadLinkedInput: a link on the way, or the node it starts from, is not there.
            DependencyCycle: the way leads back to itself.
            WorkflowTooLarge: with this one, the ways are longer than `max_steps`.
        """
        try:
            return _of_primitive(frame, slot) or self._follow(_Place(frame, slot.link, slot.type))
        except _Lost as lost:
            sentence = f"{label(node)}, input {slot.name!r}: {lost.problem}."
            raise lost.kind(sentence, frame.node_path(node.id), slot.name) from None

    def _follow(self, place: _Place) -> Resolved:
        """Where a way ends; the answer is kept for every place on it."""
        way: dict[tuple[Frame, str, str], tuple[str, str] | None] = {}
        end: Resolved | None = None
        while end is None:
            key = place.frame, place.link_id or "", place.wanted
            if key in way:
                raise _Lost(DependencyCycle, "its link leads back to itself")
            end = self._found.get(key) if place.link_id else Resolved(None)
            if end is None:
                step = self._step(place)
                way[key] = step.passed if isinstance(step, _Place) else None
                place, end = (step, None) if isinstance(step, _Place) else (place, step)
        for key, passed in reversed(way.items()):
            if passed is not None:
                end = Resolved(end.value, Trail(passed, end.trail), end.primitive)
            self._found[key] = end
        return end

    def _step(self, place: _Place) -> _Place | Resolved:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise _Lost(WorkflowTooLarge, "too many links lead up to it")
        frame = place.frame
        link = frame.graph.links.get(place.link_id or "")
        if link is None:
            raise _Lost(BadLinkedInput, f"link {place.link_id} is not in the file")
        if link.origin == INPUT_NODE and frame.parent is not None:
            return self._outside(frame, link, frame.parent)
        origin = frame.graph.nodes.get(link.origin)
        if origin is None:
            problem = f"it is linked to node {link.origin}, which is not in the file"
            raise _Lost(BadLinkedInput, problem)
        return _through(frame, origin, link.origin_slot, place.wanted)

    def _outside(self, frame: Frame, link: Link, parent: Frame) -> _Place | Resolved:
        """From an input of a subgraph to what its instance has there: a link, else a value."""
        instance, own = frame.instance, frame.graph.inputs
        assert instance is not None
        shown = own[link.origin_slot] if 0 <= link.origin_slot < len(own) else Slot("")
        passed = (":".join(frame.path), shown.name)
        slot = _shown_slot(frame, instance, link.origin_slot, shown)
        cut = shown.name in parent.promoted_by_node.get(instance.id, ())
        if slot.link and not cut:
            return _Place(parent, slot.link, slot.type, passed)
        return Resolved(self._promoted.value(frame, shown.name), Trail(passed))


def _shown_slot(child: Frame, instance: UiNode, index: int, shown: Slot) -> Slot:
    """The slot of an instance for input `shown` of its subgraph: by name, else by place."""
    slots = instance.inputs or ()
    if found := instance.inputs_by_name.get(shown.name):
        return found
    if 0 <= index < len(slots) and slots[index].name not in child.graph.input_names:
        return slots[index]
    into = child.parent.graph.links_into if child.parent and not slots else {}
    return Slot(shown.name, shown.type, into.get(instance.id, {}).get(index))


def _of_primitive(frame: Frame, slot: Slot) -> Resolved | None:
    """What a PrimitiveNode at the other end of a link sets; it reaches no further than one link."""
    link = frame.graph.links.get(slot.link or "")
    node = frame.graph.nodes.get(link.origin) if link else None
    if node is None or node.type != PRIMITIVE:
        return None
    value = frame.values.get((node.id, "value"), node.first_value)
    return Resolved(value, Trail((frame.node_path(node.id), "value")), node)


def _through(frame: Frame, node: UiNode, output: int, wanted: str) -> _Place | Resolved:
    """On from an output of `node`, by what kind of node it is."""
    if node.mode == MUTED or node.type in ONLY_SHOWN or node.type == PRIMITIVE:
        return Resolved(None)
    if node.mode == BYPASSED:
        return _entered(frame, node, _bypass_input(node, output, wanted))
    if node.type in REROUTES or node.type in SETTERS:
        return _entered(frame, node, 0, wanted)
    if node.type in GETTERS:
        return _set_elsewhere(frame, (GETTERS[node.type], str(node.first_value)), wanted)
    if node.id in frame.children:
        return _inside(frame.children[node.id], node, output, wanted)
    return Resolved(Source(frame.node_path(node.id), output))


def _set_elsewhere(frame: Frame, name: tuple[str, str], wanted: str) -> _Place | Resolved:
    """The input of the setter of this name: in the same graph, else in those around it."""
    around: Frame | None = frame
    while around is not None:
        setter = around.graph.setters.get(name)
        if setter is not None:
            return _entered(around, setter, 0, wanted)
        around = around.parent
    return Resolved(None)


def _entered(
    frame: Frame, node: UiNode | None, index: int | None, wanted: str = ""
) -> _Place | Resolved:
    """On to the link of an input; the end of the way where there is none."""
    slots = node.inputs or () if node else ()
    if node is None or index is None or not 0 <= index < len(slots):
        return Resolved(None)
    return _Place(frame, slots[index].link, wanted or slots[index].type)


def _inside(child: Frame, instance: UiNode, output: int, wanted: str) -> _Place:
    """The link that feeds an output of a subgraph; outputs go by name, as they can be reordered."""
    own = child.graph.outputs
    shown = instance.outputs[output].name if 0 <= output < len(instance.outputs) else ""
    same = 0 <= output < len(own) and own[output].name == shown
    index = output if same else child.graph.output_indices.get(shown, output)
    feeding = child.graph.links_into.get(OUTPUT_NODE, {}).get(index)
    return _Place(child, feeding, wanted)


def _bypass_input(node: UiNode, output: int, wanted: str) -> int | None:
    """The input that a bypassed node passes on to `output`, for an input of type `wanted`."""
    slots = node.inputs or ()
    if wanted == "*":
        return output if output < len(slots) else 0
    kind = node.outputs[output].type if 0 <= output < len(node.outputs) else "*"
    fits = [compatible(s.type, kind) and compatible(s.type, wanted) for s in slots]
    if 0 <= output < len(slots) and fits[output]:
        return output
    exact = [i for i, slot in enumerate(slots) if slot.type == wanted]
    return next(iter([*exact, *(i for i, fit in enumerate(fits) if fit)]), None)


def compatible(one: str, other: str) -> bool:
    """Whether the editor links an output of one type to an input of another."""
    if "*" in (one, other):
        return True
    return not _members(one).isdisjoint(_members(other))


def _members(kind: str) -> set[str]:
    return {member.strip() for member in kind.casefold().split(",")}
