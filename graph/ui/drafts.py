"""Nodes during conversion: widget values, and the sources of inputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.problems import Problem
from graph.prompt import BadLinkedInput, DependencyCycle, Source, WorkflowUnreadable
from graph.ui.document import BYPASSED, MUTED, Slot, UiNode
from graph.ui.frames import Frame
from graph.ui.links import VIRTUAL, Resolver
from graph.ui.widget_values import WidgetValues, widget_values
from graph.ui.widgets import CURVE, CUSTOM_COMBO, DYNAMIC_GROUP, UPLOAD, Widget, slots_of

CORE_MODULES = frozenset({"nodes", "comfy_extras", "comfy_api_nodes"})
UPLOAD_VALUE = "image"  # of an upload button; sent only where a subgraph shows the button


@dataclass
class Notes:
    """Sentences for the caller, gathered on the way."""

    warnings: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)


@dataclass
class Draft:
    """A node that will run. `typed` names the inputs whose values come from widgets of its own.

    `slots` are the widgets and sockets of a known type. `trails` has, by input, the (handle,
    input)s its link passes. `replaced` names inputs set by a PrimitiveNode that has "Run widget
    replace on values" on.
    """

    frame: Frame
    node: UiNode
    facts: Mapping[str, Any] | None
    inputs: dict[str, Any]
    typed: set[str]
    slots: tuple[Widget, ...] = ()
    replaced: set[str] = field(default_factory=set)
    trails: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    broken_links: list[Problem] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.frame.node_path(self.node.id)

    @property
    def title(self) -> str:
        shown = self.facts.get("display_name") if self.facts else None
        return self.node.title or (shown if isinstance(shown, str) else "") or self.node.type


class OwnValues:
    """What the nodes of one document have in widgets of their own, each looked at once."""

    def __init__(self, node_types: Mapping[str, Any], notes: Notes) -> None:
        self._node_types = node_types
        self._notes = notes
        self._slots: dict[str, tuple[Widget, ...]] = {}
        self._found: dict[UiNode, WidgetValues] = {}

    def of(self, node: UiNode) -> WidgetValues:
        """The values of a node, by the names that its type gives them."""
        if node not in self._found:
            self._found[node] = found = self._read(node)
            self._notes.warnings.extend(found.warnings)
            self._notes.repairs.extend(found.repairs)
        return self._found[node]

    def _read(self, node: UiNode) -> WidgetValues:
        facts = self._node_types.get(node.type)
        if not isinstance(facts, Mapping):
            return WidgetValues(_unknown_values(node))
        if node.type not in self._slots:
            self._slots[node.type] = slots_of(facts, node.type)
        module = str(facts.get("python_module", "")).partition(".")[0]
        return widget_values(node, self._slots[node.type], by_name=module not in CORE_MODULES)


def drafts_of(
    frame: Frame, node_types: Mapping[str, Any], own: OwnValues, resolver: Resolver
) -> Iterator[Draft]:
    """The nodes of one frame that will run."""
    for node in frame.graph.nodes.values():
        facts = node_types.get(node.type)
        virtual = node.type in VIRTUAL and facts is None
        if virtual or node.mode in (MUTED, BYPASSED) or node.id in frame.children:
            continue
        found = own.of(node)
        inputs = {name: value for name, value in found.values.items() if value is not None}
        known = facts if isinstance(facts, Mapping) else None
        draft = Draft(frame, node, known, inputs, set(inputs), found.slots)
        _link(draft, resolver)
        _finish(draft, found.values)
        yield draft


def _unknown_values(node: UiNode) -> dict[str, Any]:
    """The values of a node whose widgets' names are not known, named as the editor names them."""
    if node.named_values and not node.values:
        return dict(node.named_values)
    if isinstance(node.values, dict):
        return dict(node.values)
    values = enumerate(node.values or ())
    return {f"UNKNOWN_{i}" if i else "UNKNOWN": value for i, value in values}


def _problem(draft: Draft, name: str, error: WorkflowUnreadable) -> Problem:
    """A link that leads nowhere, told like what else is wrong with a workflow."""
    said = error.problem.rpartition(f"input {name!r}: ")[2]
    said = said[:1].upper() + said[1:]
    return Problem(error.code, said, draft.id, draft.node.type, name, expected="a link")


def _link(draft: Draft, resolver: Resolver) -> None:
    """Lay on the node's own values what its instance sets, and what its inputs are linked to."""
    frame, node = draft.frame, draft.node
    promoted = frame.promoted_by_node.get(node.id, frozenset())
    for widget in promoted & draft.inputs.keys():
        draft.inputs[widget] = frame.values.get((node.id, widget), draft.inputs[widget])
        draft.typed.discard(widget)
    slots = {slot.name: slot for slot in draft.slots}
    for button in promoted & slots.keys():
        if slots[button].kind == UPLOAD:
            draft.inputs[button] = UPLOAD_VALUE
    for slot in node.inputs or ():
        if not slot.link or not slot.name or slot.name in promoted:
            continue
        if draft.facts and _is_lost(slot, slots):
            continue
        try:
            found = resolver.resolve(frame, node, slot)
        except (BadLinkedInput, DependencyCycle) as error:
            draft.broken_links.append(_problem(draft, slot.name, error))
            continue
        draft.trails[slot.name] = tuple(found.trail or ())
        if found.value is None or (
            found.primitive and draft.facts and not _has_widget(slot, slots)
        ):
            continue
        draft.inputs[slot.name] = found.value
        if found.primitive is None:
            draft.typed.discard(slot.name)
        elif found.primitive.properties.get("Run widget replace on values"):
            draft.replaced.add(slot.name)


def _is_lost(slot: Slot, known: Mapping[str, Widget]) -> bool:
    """Whether an input is one that its node does not have: the editor drops a link to it.

    That is so of a widget, and of an input that the choice of a dynamic combo does not bring. Other
    inputs that a type does not know are kept, so are those that grow.
    """
    if slot.name in known:
        return False
    outer = slot.name
    while "." in outer:
        outer = outer.rpartition(".")[0]
        if outer in known:
            brings = bool(known[outer].branches) or known[outer].kind == DYNAMIC_GROUP
            return brings or (known[outer].sent and bool(slot.widget))
    return bool(slot.widget)


def _has_widget(slot: Slot, known: Mapping[str, Widget]) -> bool:
    return slot.name not in known or known[slot.name].sent


def _finish(draft: Draft, own: Mapping[str, Any]) -> None:
    """What the editor makes of values only when it sends them."""
    for widget in draft.slots:
        if widget.kind == CURVE and widget.name in draft.typed and widget.name in draft.inputs:
            curve = draft.inputs[widget.name]
            draft.inputs[widget.name] = {"__type__": CURVE, "__value__": curve}
    if draft.facts and draft.node.type == CUSTOM_COMBO:
        chosen = draft.inputs.get("choice")
        chosen = own.get("choice") if isinstance(chosen, Source) else chosen
        options = [own[slot.name] for slot in draft.slots if slot.name.startswith("option")]
        draft.inputs["index"] = options.index(chosen) if chosen in options else -1
