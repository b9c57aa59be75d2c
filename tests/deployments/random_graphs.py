"""Random workflows over every node type there is: links of the right types, constants in range."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from graph.node import REQUIRED, Input, NodeType
from graph.validation import compatible

SMALL = {  # what an input of this name may be at most, so that a test stays quick
    "width": 64,
    "height": 64,
    "batch_size": 2,
    "amount": 2,
    "length": 2,
    "steps": 3,
    "scale_by": 2.0,
    "megapixels": 0.01,
    "repeats": 2,
}
LEAST_SIZE = 16
MOST = 96  # of any other number


@dataclass
class Growing:
    """A workflow in API format as far as it has grown, and what its outputs offer."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    offers: list[tuple[str, list[Any]]] = field(default_factory=list)

    def add(self, node_type: NodeType, inputs: dict[str, Any]) -> None:
        node_id = str(len(self.nodes) + 1)
        self.nodes[node_id] = {"class_type": node_type.name, "inputs": inputs}
        for slot, output in enumerate(node_type.outputs):
            self.offers.append((output.type, [node_id, slot]))

    def links_for(self, wanted: str) -> list[list[Any]]:
        return [link for given, link in self.offers if compatible(given, wanted)]


@st.composite
def workflows(
    draw: st.DrawFn, node_types: Mapping[str, NodeType], files: Mapping[str, list[str]]
) -> dict[str, Any]:
    """A workflow of up to a dozen nodes that ends in pictures."""
    growing = Growing()
    for first in ("CheckpointLoaderSimple", "LoadImage", "EmptyLatentImage"):
        _grow(draw, growing, node_types[first], files)
    _grow(draw, growing, node_types["CLIPTextEncode"], files)
    inner = [kind for kind in node_types.values() if kind.outputs]
    for _ in range(draw(st.integers(1, 8))):
        _grow(draw, growing, draw(st.sampled_from(inner)), files)
    for last in ("KSampler", "VAEDecode", "SaveImage"):
        _grow(draw, growing, node_types[last], files)
    return growing.nodes


def _grow(
    draw: st.DrawFn, growing: Growing, node_type: NodeType, files: Mapping[str, list[str]]
) -> None:
    """Add a node, unless nothing there can be linked to what it requires."""
    inputs: dict[str, Any] = {}
    for name, declared in node_type.inputs.items():
        if declared.is_widget:
            choices = _choices(declared, files)
            if choices == []:
                return
            inputs[name] = draw(_constant(declared, choices))
        elif links := growing.links_for(declared.type):
            inputs[name] = draw(st.sampled_from(links[-4:]))
        elif declared.required:
            return
    growing.add(node_type, inputs)


def _choices(declared: Input, files: Mapping[str, list[str]]) -> list[Any] | None:
    if declared.files:
        return files.get(declared.files.folder, [])
    if declared.upload:
        return files["input"]
    return None if declared.choices is None else list(declared.choices)


def _constant(declared: Input, choices: list[Any] | None) -> st.SearchStrategy[Any]:
    if choices is not None:
        return st.sampled_from(choices)
    if declared.type == "BOOLEAN":
        return st.booleans()
    if declared.type == "STRING":
        return st.sampled_from(["", "a fox", "(a:1.3), [b] {c|d}", "1, 0.5, 0"])
    low = declared.widget.min if declared.widget.min is not None else 0
    high = declared.widget.max if declared.widget.max is not None else MOST
    if declared.name in SMALL:
        low, high = max(low, min(LEAST_SIZE, SMALL[declared.name])), SMALL[declared.name]
    low, high = max(low, -MOST), max(low, min(high, MOST))
    numbers = _numbers(declared.type, low, high)
    default = declared.default
    usual = default is not REQUIRED and isinstance(default, int | float) and low <= default <= high
    return st.one_of(st.just(default), numbers) if usual else numbers


def _numbers(kind: str, low: float, high: float) -> st.SearchStrategy[Any]:
    if kind == "INT":
        return st.integers(int(low), int(high))
    return st.floats(low, high, allow_nan=False).map(lambda value: round(value, 3))
