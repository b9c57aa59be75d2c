"""Adds the input slots that a file leaves out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graph.ui.document import Slot, UiDocument, UiGraph, UiNode
from graph.ui.widgets import sockets_of


def complete_inputs(document: UiDocument, node_types: Mapping[str, Any]) -> UiDocument:
    """`document` in which every node has its input slots, from its type and the links into it."""

    def completed(graph: UiGraph) -> UiGraph:
        nodes = {
            key: node
            if node.inputs is not None
            else _with_inputs(graph, node, document, node_types)
            for key, node in graph.nodes.items()
        }
        return replace(graph, nodes=nodes)

    subgraphs = {key: completed(graph) for key, graph in document.subgraphs.items()}
    return replace(document, root=completed(document.root), subgraphs=subgraphs)


def _with_inputs(
    graph: UiGraph, node: UiNode, document: UiDocument, node_types: Mapping[str, Any]
) -> UiNode:
    into = graph.links_into.get(node.id, {})
    if not into:
        return replace(node, inputs=())
    if node.type in document.subgraphs:
        known = document.subgraphs[node.type].inputs
    else:
        facts = node_types.get(node.type)
        sockets = sockets_of(facts) if isinstance(facts, Mapping) else ()
        known = tuple(Slot(name, kind) for name, kind in sockets)
    unnamed = (Slot(f"input_{i}") for i in sorted(into) if i >= len(known))
    slots = enumerate((*known, *unnamed))
    return replace(node, inputs=tuple(replace(slot, link=into.get(i)) for i, slot in slots))
