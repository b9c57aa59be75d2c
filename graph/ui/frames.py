"""A document with its subgraphs instantiated: one frame for each use."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graph.prompt import DependencyCycle, WorkflowTooLarge
from graph.ui.document import BYPASSED, MUTED, OWN_INPUT, UiDocument, UiGraph, UiNode, id_text
from graph.ui.promotion import ShownWidgets
from graph.ui.size import TextCount
from graph.ui.widget_values import label

NESTED_PREFIX = re.compile(r"^(?:\s*\d+\s*:)+\s*")  # "12: seed", of older files


@dataclass(frozen=True, eq=False)
class Frame:
    """One graph where it is used: the root, or a definition inside an instance.

    `promoted` names the widgets that the instance shows, as (inner node id, widget) or ("-1", input
    of the subgraph), and `values` what it sets them to; one of a nested instance is named by that
    instance's input.
    """

    graph: UiGraph
    parent: "Frame | None" = None
    instance: UiNode | None = None
    path: tuple[str, ...] = ()
    stored_path: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    promoted: tuple[tuple[str, str], ...] = ()
    values: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    children: dict[str, "Frame"] = field(default_factory=dict)

    @cached_property
    def promoted_by_node(self) -> Mapping[str, frozenset[str]]:
        """The widgets that the instance shows without an input of the subgraph, by inner node."""
        widgets: dict[str, set[str]] = {}
        for node_id, widget in self.promoted:
            if node_id != OWN_INPUT:
                widgets.setdefault(node_id, set()).add(widget)
        return {node_id: frozenset(names) for node_id, names in widgets.items()}

    def node_path(self, node_id: str) -> str:
        """The id of a node of this graph in the prompt."""
        return ":".join((*self.path, node_id))


def lay_out(
    document: UiDocument,
    shown: ShownWidgets,
    text: TextCount,
    *,
    max_nodes: int,
    max_depth: int,
) -> Iterator[Frame]:
    """A frame for the root and for each instance that has one.

    An instance of the root that is muted or bypassed has none; one inside a subgraph is passed by
    all the same, but the editor sends what it holds. `text` counts the names of nodes, which have
    those of all instances around them.

    Raises:
        DependencyCycle: a subgraph that holds itself.
        WorkflowTooLarge: over `max_nodes` in all frames, or `max_depth` of them nested, or in text.
    """
    count, waiting = 0, deque([(Frame(document.root), frozenset[str]())])
    while waiting:
        frame, inside = waiting.popleft()
        yield frame
        count += len(frame.graph.nodes)
        if count > max_nodes or len(frame.path) > max_depth:
            what = f"{max_nodes} nodes" if count > max_nodes else f"{max_depth} nested subgraphs"
            problem = f"The workflow has more than {what}."
            raise WorkflowTooLarge(problem, "", "")
        text.add(frame.path, frame.stored_path, frame.titles, times=len(frame.graph.nodes))
        for node in frame.graph.nodes.values():
            if node.type not in document.subgraphs:
                continue
            if frame.parent is None and node.mode in (MUTED, BYPASSED):
                continue
            if node.type in inside:
                problem = f"{label(node)}: its subgraph holds itself."
                raise DependencyCycle(problem, frame.node_path(node.id), "")
            graph = document.subgraphs[node.type]
            child = frame.children[node.id] = _child(frame, node, graph, shown)
            waiting.append((child, inside | {node.type}))


def _child(frame: Frame, node: UiNode, graph: UiGraph, shown: ShownWidgets) -> Frame:
    promoted = _promoted(node, graph, shown)
    saved = node.values if isinstance(node.values, list) else []
    values = {t: v for t, v in zip(promoted, saved, strict=False) if v is not None}
    if not saved and not node.properties.get("proxyWidgets"):
        values = {(OWN_INPUT, name): v for name, v in node.named_values.items() if v is not None}
    from_outside = frame.promoted_by_node.get(node.id, ())
    for target in promoted:
        if target[1] in from_outside and (node.id, target[1]) in frame.values:
            values[target] = frame.values[node.id, target[1]]
    return Frame(
        graph=graph,
        parent=frame,
        instance=node,
        path=(*frame.path, node.id),
        stored_path=(*frame.stored_path, node.stored_id),
        titles=(*frame.titles, node.title or graph.name),
        promoted=promoted,
        values=values,
    )


def _promoted(instance: UiNode, graph: UiGraph, shown: ShownWidgets) -> tuple[tuple[str, str], ...]:
    """The widgets an instance shows, in the order of its values.

    Those its proxyWidgets name; else its definition's inputs that have a widget, whatever inputs
    the instance itself lists.
    """
    proxies = instance.properties.get("proxyWidgets")
    if isinstance(proxies, list) and proxies:
        return tuple(_proxy_target(graph, proxy) for proxy in proxies)
    return tuple((OWN_INPUT, name) for name in shown.of(graph))


def _proxy_target(graph: UiGraph, proxy: object) -> tuple[str, str]:
    """What an entry of proxyWidgets names; a widget that an input leads to goes by that input."""
    match proxy:
        case [node_id, str() as widget, *_]:
            owner, name = id_text(node_id), NESTED_PREFIX.sub("", widget)
            return graph.fed_from_outside.get((owner, name), (owner, name))
    return "", ""
