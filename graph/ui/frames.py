"""A document laid out: one frame for every use of a subgraph."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.prompt import DependencyCycle, WorkflowTooLarge
from graph.ui.document import BYPASSED, MUTED, UiDocument, UiGraph, UiNode, id_text
from graph.ui.widget_values import label

OWN_INPUT = "-1"  # in `promoted`: an input of the subgraph, rather than of a node in it
NESTED_PREFIX = re.compile(r"^(?:\s*\d+\s*:)+\s*")  # "12: seed", of older files


@dataclass(frozen=True, eq=False)
class Frame:
    """One graph where it is used: the root, or a definition inside an instance.

    `promoted` names the widgets that the instance shows, as (inner node id, widget) or ("-1", input
    of the subgraph), and `values` what it sets them to.
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

    def node_path(self, node_id: str) -> str:
        """The id of a node of this graph in the prompt."""
        return ":".join((*self.path, node_id))


def lay_out(document: UiDocument, *, max_nodes: int, max_depth: int) -> Iterator[Frame]:
    """A frame for the root and for each instance that is neither muted nor bypassed.

    Raises:
        DependencyCycle: a subgraph that holds itself.
        WorkflowTooLarge: over `max_nodes` in all frames, or `max_depth` of them nested.
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
        for node in frame.graph.nodes.values():
            if node.type not in document.subgraphs or node.mode in (MUTED, BYPASSED):
                continue
            if node.type in inside:
                problem = f"{label(node)}: its subgraph holds itself."
                raise DependencyCycle(problem, frame.node_path(node.id), "")
            child = frame.children[node.id] = _child(frame, node, document.subgraphs[node.type])
            waiting.append((child, inside | {node.type}))


def _child(frame: Frame, node: UiNode, graph: UiGraph) -> Frame:
    promoted = _promoted(node)
    values = node.values if isinstance(node.values, list) else []
    return Frame(
        graph=graph,
        parent=frame,
        instance=node,
        path=(*frame.path, node.id),
        stored_path=(*frame.stored_path, node.stored_id),
        titles=(*frame.titles, node.title or graph.name),
        promoted=promoted,
        values={t: v for t, v in zip(promoted, values, strict=False) if v is not None},
    )


def _promoted(instance: UiNode) -> tuple[tuple[str, str], ...]:
    """The widgets an instance shows: those its proxyWidgets name, else one for each such input."""
    proxies = instance.properties.get("proxyWidgets")
    if isinstance(proxies, list) and proxies:
        return tuple(_proxy_target(proxy) for proxy in proxies)
    return tuple((OWN_INPUT, slot.name) for slot in instance.inputs or () if slot.widget)


def _proxy_target(proxy: object) -> tuple[str, str]:
    match proxy:
        case [node_id, str() as widget, *_]:
            return id_text(node_id), NESTED_PREFIX.sub("", widget)
    return "", ""
