"""Promoted widgets: which inputs of a subgraph show a widget of a node inside, and their values."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from graph.ui.document import OWN_INPUT, Link, UiGraph, UiNode

if TYPE_CHECKING:
    from graph.ui.frames import Frame


class ShownWidgets:
    """The widget behind each input of a subgraph: (inner node id, widget), None if it has none.

    An input has one if a link of its ends at a slot that the file marks as a widget, or at an input
    of a nested instance that has one. The first counts. Deeper than `max_depth` is not looked.
    """

    def __init__(self, subgraphs: Mapping[str, UiGraph], *, max_depth: int) -> None:
        self._subgraphs = subgraphs
        self._max_depth = max_depth
        self._found: dict[tuple[UiGraph, str], tuple[str, str] | None] = {}

    def of(self, graph: UiGraph) -> tuple[str, ...]:
        """The inputs of a definition that have a widget, in its order: the places of values."""
        return tuple(slot.name for slot in graph.inputs if self.behind(graph, slot.name))

    def behind(self, graph: UiGraph, name: str, depth: int = 0) -> tuple[str, str] | None:
        """The first widget behind an input; of a nested instance, the name of its input."""
        key = graph, name
        if key not in self._found:
            self._found[key] = None  # for a subgraph that holds itself
            if depth <= self._max_depth:
                ends = (self._end(graph, link, depth) for link in graph.inner_links.get(name, ()))
                self._found[key] = next(filter(None, ends), None)
        return self._found[key]

    def _end(self, graph: UiGraph, link: Link, depth: int) -> tuple[str, str] | None:
        node = graph.nodes.get(link.target)
        if node is None:
            return None
        slots = node.inputs or ()
        slot = slots[link.target_slot] if 0 <= link.target_slot < len(slots) else None
        nested = self._subgraphs.get(node.type)
        if nested is None:
            return (node.id, slot.widget) if slot and slot.widget else None
        own = nested.inputs
        name = slot.name if slot else ""
        if name not in nested.inner_links and 0 <= link.target_slot < len(own):
            name = own[link.target_slot].name
        return (node.id, name) if self.behind(nested, name, depth + 1) else None


class PromotedValues:
    """What the inputs of subgraph instances are set to."""

    def __init__(
        self, shown: ShownWidgets, own_values: Callable[[UiNode], Mapping[str, Any]]
    ) -> None:
        self._shown = shown
        self._own_values = own_values
        self._found: dict[tuple[Frame, str], Any] = {}

    def value(self, frame: "Frame", name: str) -> Any:
        """The value of an input; that of the first widget behind it where the instance has none.

        None if there is no widget behind it.
        """
        key = frame, name
        if key not in self._found:
            self._found[key] = self._value(frame, name)
        return self._found[key]

    def _value(self, frame: "Frame", name: str) -> Any:
        behind = self._shown.behind(frame.graph, name)
        if behind is None:
            return None
        if (OWN_INPUT, name) in frame.values:
            return frame.values[OWN_INPUT, name]
        node_id, widget = behind
        if node_id in frame.children:
            return self.value(frame.children[node_id], widget)
        return self._own_values(frame.graph.nodes[node_id]).get(widget)
