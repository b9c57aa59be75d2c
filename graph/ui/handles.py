"""Settable values of nodes that do not run themselves (primitives, subgraphs)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from graph.prompt import Handle
from graph.ui.document import UiNode
from graph.ui.drafts import Draft
from graph.ui.frames import Frame
from graph.ui.links import PRIMITIVE


def handles_of(frames: Sequence[Frame], drafts: Sequence[Draft]) -> dict[str, Handle]:
    """Subgraph instances and PrimitiveNodes by id, with the inputs that each of theirs reaches."""
    reached: dict[tuple[str, str], dict[tuple[str, str], None]] = defaultdict(dict)
    for draft in drafts:
        for name, trail in draft.trails.items():
            for handle in trail:
                reached[handle][draft.id, name] = None
        for widget in draft.frame.promoted_by_node.get(draft.node.id, ()):
            if widget in draft.inputs:
                reached[":".join(draft.frame.path), widget][draft.id, widget] = None
    for frame in reversed(frames):  # what an instance shows of one inside it, innermost first
        if frame.parent is not None and frame.instance is not None:
            for name in frame.parent.promoted_by_node.get(frame.instance.id, ()):
                shown = reached[":".join(frame.parent.path), name]
                shown |= reached[":".join(frame.path), name]
    inputs: dict[str, dict[str, tuple[tuple[str, str], ...]]] = defaultdict(dict)
    for (handle_id, name), targets in reached.items():
        inputs[handle_id][name] = tuple(targets)
    return {
        handle_id: Handle(inputs.get(handle_id, {}), title, names)
        for handle_id, title, names in _named(frames)
    }


def _named(frames: Sequence[Frame]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for frame in frames:
        if frame.instance is not None:
            names = (":".join(frame.stored_path), "/".join(frame.titles))
            yield _entry(":".join(frame.path), frame.titles[-1], names)
        for node in frame.graph.nodes.values():
            if node.type == PRIMITIVE:
                yield _entry(frame.node_path(node.id), *_primitive_names(frame, node))


def _primitive_names(frame: Frame, node: UiNode) -> tuple[str, tuple[str, str]]:
    title = node.title or node.type
    stored = ":".join((*frame.stored_path, node.stored_id))
    return title, (stored, "/".join((*frame.titles, title)))


def _entry(handle_id: str, title: str, names: tuple[str, str]) -> tuple[str, str, tuple[str, ...]]:
    return handle_id, title, tuple(n for n in dict.fromkeys(names) if n not in (handle_id, title))
