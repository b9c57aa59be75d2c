"""Workflows from the format of ComfyUI's API to that of its editor."""

from collections.abc import Iterator, Mapping
from typing import Any

from graph.node import NodeType

COLUMN_WIDTH, ROW_HEIGHT = 340, 320  # px between nodes
SEEDS = frozenset({"seed", "noise_seed"})
Api = Mapping[str, Mapping[str, Any]]


def to_ui(workflow: Api, node_types: Mapping[str, NodeType]) -> dict[str, Any]:
    """A document for the editor, its nodes laid out by how far they are from a start."""
    links = list(_links(workflow, node_types))
    nodes = [
        _node(key, workflow, node_types[workflow[key]["class_type"]], links) for key in workflow
    ]
    depths: dict[int, int] = {}
    for order, node in enumerate(nodes):
        depth = _depth(str(node["id"]), workflow)
        row = sum(1 for other in depths.values() if other == depth)
        depths[order] = depth
        node |= {"pos": [depth * COLUMN_WIDTH, row * ROW_HEIGHT], "order": order}
    return {
        "last_node_id": max(map(int, workflow)),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _is_link(value: Any) -> bool:
    return isinstance(value, list)


def _links(workflow: Api, node_types: Mapping[str, NodeType]) -> Iterator[list[Any]]:
    """[id, from node, from output, to node, to input, type] of every link."""
    number = 0
    for key, node in workflow.items():
        for place, name in enumerate(_sockets(node, node_types[node["class_type"]])):
            number += 1
            source, slot = node["inputs"][name]
            kind = node_types[workflow[source]["class_type"]].outputs[slot].type
            yield [number, int(source), slot, int(key), place, kind]


def _sockets(node: Mapping[str, Any], node_type: NodeType) -> list[str]:
    return [name for name in node_type.inputs if _is_link(node["inputs"].get(name))]


def _node(key: str, workflow: Api, node_type: NodeType, links: list[list[Any]]) -> dict[str, Any]:
    node = workflow[key]
    incoming = [link for link in links if link[3] == int(key)]
    sockets = _sockets(node, node_type)
    return {
        "id": int(key),
        "type": node["class_type"],
        "size": [300, 260],
        "flags": {},
        "mode": 0,
        "inputs": [
            {"name": name, "type": link[5], "link": link[0]}
            for name, link in zip(sockets, incoming, strict=True)
        ],
        "outputs": [
            {
                "name": output.name,
                "type": output.type,
                "links": [link[0] for link in links if link[1:3] == [int(key), slot]],
                "slot_index": slot,
            }
            for slot, output in enumerate(node_type.outputs)
        ],
        "properties": {"Node name for S&R": node["class_type"]},
        "widgets_values": list(_widgets(node, node_type)),
    }


def _widgets(node: Mapping[str, Any], node_type: NodeType) -> Iterator[Any]:
    """Values in the order of the editor, which adds widgets to seeds and to uploads."""
    for name, declared in node_type.inputs.items():
        value = node["inputs"].get(name)
        if value is None or _is_link(value):
            continue
        yield value
        if name in SEEDS:
            yield "fixed"
        if declared.upload:
            yield "image"


def _depth(key: str, workflow: Api) -> int:
    sources = [value[0] for value in workflow[key]["inputs"].values() if _is_link(value)]
    return 1 + max((_depth(source, workflow) for source in sources), default=-1)
