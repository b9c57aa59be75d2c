"""Nodes on their way into the prompt: their widgets' values, and what their inputs lead to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.ui.document import BYPASSED, MUTED, UiNode
from graph.ui.frames import Frame
from graph.ui.links import VIRTUAL, Resolver
from graph.ui.widget_values import widget_values
from graph.ui.widgets import Widget, widgets_of


@dataclass
class Notes:
    """Sentences for the caller, gathered on the way."""

    warnings: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)


@dataclass
class Draft:
    """A node that will run. `typed` names the inputs whose values come from widgets of its own.

    `trails` has, by input, the (handle, input)s its link passes. `replaced` names inputs set by a
    PrimitiveNode that has "Run widget replace on values" on.
    """

    frame: Frame
    node: UiNode
    facts: Mapping[str, Any] | None
    inputs: dict[str, Any]
    typed: set[str]
    widgets: tuple[Widget, ...] = ()
    replaced: set[str] = field(default_factory=set)
    trails: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.frame.node_path(self.node.id)

    @property
    def title(self) -> str:
        shown = self.facts.get("display_name") if self.facts else None
        return self.node.title or (shown if isinstance(shown, str) else "") or self.node.type


def drafts_of(
    frame: Frame, node_types: Mapping[str, Any], resolver: Resolver, notes: Notes
) -> Iterator[Draft]:
    """The nodes of one frame that will run."""
    for node in frame.graph.nodes.values():
        facts = node_types.get(node.type)
        virtual = node.type in VIRTUAL and facts is None
        if virtual or node.mode in (MUTED, BYPASSED) or node.id in frame.children:
            continue
        if isinstance(facts, Mapping):
            draft = _known(frame, node, facts, notes)
        else:
            inputs = _unknown_values(node)
            draft = Draft(frame, node, None, inputs, set(inputs))
        _link(draft, resolver)
        yield draft


def _known(frame: Frame, node: UiNode, facts: Mapping[str, Any], notes: Notes) -> Draft:
    custom = str(facts.get("python_module", "")).startswith("custom_nodes")
    widgets = widgets_of(facts)
    found = widget_values(node, widgets, by_name=custom)
    notes.warnings.extend(found.warnings)
    notes.repairs.extend(found.repairs)
    inputs = {name: value for name, value in found.values.items() if value is not None}
    return Draft(frame, node, facts, inputs, set(inputs), widgets)


def _unknown_values(node: UiNode) -> dict[str, Any]:
    """The values of a node whose widgets' names are not known, named as the editor names them."""
    if node.named_values:
        return dict(node.named_values)
    if isinstance(node.values, dict):
        return dict(node.values)
    values = enumerate(node.values or ())
    return {f"UNKNOWN_{i}" if i else "UNKNOWN": value for i, value in values}


def _link(draft: Draft, resolver: Resolver) -> None:
    """Lay on the node's own values what its instance sets, and what its inputs are linked to."""
    for widget in draft.inputs:
        if (draft.node.id, widget) in draft.frame.values:
            draft.inputs[widget] = draft.frame.values[draft.node.id, widget]
            draft.typed.discard(widget)
    for slot in draft.node.inputs or ():
        if not slot.link or not slot.name:
            continue
        found = resolver.resolve(draft.frame, draft.node, slot)
        draft.trails[slot.name] = found.trail
        if found.value is None:
            continue
        draft.inputs[slot.name] = found.value
        if found.primitive is None:
            draft.typed.discard(slot.name)
        elif found.primitive.properties.get("Run widget replace on values"):
            draft.replaced.add(slot.name)
