"""Builds workflows: an API-format template that is filled in and extended."""

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Self

WORKFLOWS = Path(__file__).parent / "workflows"
Link = list[Any]  # [node id, output slot], as API format has it


@cache
def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((WORKFLOWS / f"{name}.json").read_text())
    return document


class Draft:
    """Nodes by id. Those of the data file are known by their titles."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self.nodes = nodes

    @classmethod
    def of(cls, name: str) -> Self:
        """The workflow of a data file."""
        return cls(deepcopy(_read(name)))

    def has(self, title: str) -> bool:
        return any(node["_meta"]["title"] == title for node in self.nodes.values())

    def id(self, title: str) -> str:
        return next(i for i, node in self.nodes.items() if node["_meta"]["title"] == title)

    def inputs(self, title: str) -> dict[str, Any]:
        """The inputs of a node, to read or change."""
        inputs: dict[str, Any] = self.nodes[self.id(title)]["inputs"]
        return inputs

    def set(self, title: str, **inputs: Any) -> None:
        """Set inputs; None leaves what the data file has."""
        given = {name: value for name, value in inputs.items() if value is not None}
        self.inputs(title).update(given)

    def add(self, class_type: str, title: str, **inputs: Any) -> str:
        """Add a node; returns its id."""
        node_id = str(max(map(int, self.nodes)) + 1)
        meta = {"title": title}
        self.nodes[node_id] = {"class_type": class_type, "inputs": inputs, "_meta": meta}
        return node_id

    def reroute(self, old: Link, new: Link) -> None:
        """Link to `new` whatever is linked to `old`, but for the node of `new` itself."""
        for node_id, name in list(self._linked_to(old)):
            if node_id != new[0]:
                self.nodes[node_id]["inputs"][name] = list(new)

    def put(self, title: str, class_type: str, **inputs: Any) -> str:
        """The node of a title becomes this one, or is added; returns its id."""
        if not self.has(title):
            return self.add(class_type, title, **inputs)
        node = {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}
        node_id = self.id(title)
        self.nodes[node_id] = node
        return node_id

    def remove(self, title: str) -> None:
        """Take a node out, if it is there; nothing may be linked to it any more."""
        if self.has(title):
            del self.nodes[self.id(title)]

    @property
    def class_types(self) -> frozenset[str]:
        return frozenset(node["class_type"] for node in self.nodes.values())

    def _linked_to(self, link: Link) -> Iterator[tuple[str, str]]:
        for node_id, node in self.nodes.items():
            for name, value in node["inputs"].items():
                if value == link:
                    yield node_id, name
