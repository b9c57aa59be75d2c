"""New ids for nodes inside subgraphs, as editor 1.58.1 gives them when it opens a file.

It wants ids that are unique over the root and all definitions, and renumbers the later of two equal
ones; exports made by it therefore say "4:6" where the file says "4:3".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graph.ui.document import UiDocument, UiGraph, UiNode, number


def renumber(document: UiDocument) -> UiDocument:
    """`document` with ids that are unique over all its graphs; `stored_id` keeps the old one."""
    used, last = set(document.root.nodes), document.last_node_id
    new_ids: dict[str, dict[str, str]] = {}
    for key, graph in document.subgraphs.items():
        new_ids[key] = {}
        for node_id in graph.nodes:
            if not node_id.isdigit():
                continue
            if node_id in used:
                last = _next_free(last, used)
                new_ids[key][node_id] = str(last)
            used.add(new_ids[key].get(node_id, node_id))
            last = max(last, number(node_id)) if node_id not in new_ids[key] else last
    subgraphs = {
        key: _renamed(_references(graph, new_ids), new_ids[key])
        for key, graph in document.subgraphs.items()
    }
    root = _references(document.root, new_ids)
    return replace(document, root=root, subgraphs=subgraphs, last_node_id=last)


def _next_free(last: int, used: set[str]) -> int:
    while str(last := last + 1) in used:
        pass
    return last


def _renamed(graph: UiGraph, ids: Mapping[str, str]) -> UiGraph:
    nodes = (replace(node, id=ids.get(node.id, node.id)) for node in graph.nodes.values())
    links = {
        key: replace(
            link,
            origin=ids.get(link.origin, link.origin),
            target=ids.get(link.target, link.target),
        )
        for key, link in graph.links.items()
    }
    return replace(graph, nodes={node.id: node for node in nodes}, links=links)


def _references(graph: UiGraph, new_ids: Mapping[str, Mapping[str, str]]) -> UiGraph:
    """`graph` with the inner ids that its instances' proxyWidgets name brought up to date."""
    nodes = {
        key: _with_proxies(node, new_ids[node.type]) if node.type in new_ids else node
        for key, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)


def _with_proxies(node: UiNode, ids: Mapping[str, str]) -> UiNode:
    proxies = node.properties.get("proxyWidgets")
    if not ids or not isinstance(proxies, list):
        return node
    changed = [_with_proxy_id(proxy, ids) for proxy in proxies]
    return replace(node, properties={**node.properties, "proxyWidgets": changed})


def _with_proxy_id(proxy: Any, ids: Mapping[str, str]) -> Any:
    if not isinstance(proxy, list) or not proxy:
        return proxy
    return [ids.get(str(proxy[0]), proxy[0]), *proxy[1:]]
