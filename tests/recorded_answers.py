"""What other people's nodes answered, as recorded in tests/data/nodes.

A JSON file has cases: a node type, its inputs under the names of ComfyUI's API format, and its
outputs, or that it `fails`. An array is `{"array": name}` in the .npz beside it, float32.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deployments.image_functions import NodeImaging
from graph.dynamic_inputs import layout
from graph.node import REQUIRED, NodeType
from graph.nodes import load_node_types
from graph.nodes.packs.rgthree_context import Context
from graph.results import Expansion
from graph.segs import Seg, Segs
from graph.stages import Stage
from graph.values import Items
from tests.preprocessors.annotator_files import detectors

FOLDER = Path(__file__).parent / "data" / "nodes"
PACKS = sorted(path.stem for path in FOLDER.glob("*.json"))
CLOSE = 1e-4


@dataclass(frozen=True)
class Case:
    node: str
    inputs: Mapping[str, Any]
    outputs: tuple[Any, ...]
    fails: bool


def recorded(pack: str) -> Iterator[Case]:
    """The cases of one file."""
    path = FOLDER / f"{pack}.json"
    arrays: Mapping[str, Any] = {}
    if path.with_suffix(".npz").exists():
        with np.load(path.with_suffix(".npz")) as found:
            arrays = dict(found)
    for case in json.loads(path.read_text("utf-8")):
        inputs = {name: _value(value, arrays) for name, value in case["inputs"].items()}
        outputs = tuple(_value(value, arrays) for value in case.get("outputs", ()))
        yield Case(case["node"], inputs, outputs, bool(case.get("fails")))


def _value(said: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(said, list):
        return [_value(one, arrays) for one in said]
    if isinstance(said, dict) and "array" in said:
        return torch.from_numpy(arrays[said["array"]])
    if isinstance(said, dict) and "segs" in said:
        facts = said["segs"]
        return Segs(tuple(facts["size"]), tuple(_part(one, arrays) for one in facts["items"]))
    if isinstance(said, dict) and "context" in said:
        return Context(tuple(said["context"].items()))
    if isinstance(said, dict):
        return {name: _value(one, arrays) for name, one in said["mapping"].items()}
    return said


def _part(said: Mapping[str, Any], arrays: Mapping[str, Any]) -> Seg:
    region, box = tuple(said["crop_region"]), tuple(said["bbox"])
    return Seg(_value(said["mask"], arrays), said["confidence"], region, box, said["label"])


@cache
def node_types() -> Mapping[str, NodeType]:
    return load_node_types()


def answered(case: Case) -> tuple[Any, ...]:
    """What our node of that type gives for the inputs of a case."""
    node_type = node_types()[case.node]
    declared = layout(node_type.inputs, case.inputs)
    defaults = {n: i.default for n, i in declared.inputs.items() if i.default is not REQUIRED}
    nested = declared.nested({**defaults, **case.inputs})
    stages = {Stage.INLINE: (), Stage.IMAGE: (NodeImaging(detectors(Path("nowhere"))),)}
    given = node_type.function(*stages[node_type.stage], **nested)
    if isinstance(given, Expansion):
        assert not given.nodes
        given = given.outputs if len(given.outputs) > 1 else given.outputs[0]
    outputs = given if len(node_type.outputs) > 1 else (given,)
    return tuple(list(one.values) if isinstance(one, Items) else one for one in outputs)


def same(ours: Any, theirs: Any) -> bool:
    """Whether two answers are equal: numbers and arrays within 1e-4."""
    if isinstance(theirs, torch.Tensor):
        return tuple(ours.shape) == tuple(theirs.shape) and torch.allclose(
            ours.float(), theirs, rtol=0, atol=CLOSE
        )
    if isinstance(theirs, Segs):
        pairs = zip(ours.items, theirs.items, strict=False)
        return (
            ours.size == theirs.size
            and len(ours.items) == len(theirs.items)
            and all(_same_part(*pair) for pair in pairs)
        )
    if isinstance(theirs, Context):
        return dict(ours.parts) == dict(theirs.parts)
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, float):
        return bool(np.isclose(ours, theirs, rtol=CLOSE, atol=CLOSE))
    return bool(ours == theirs)


def _same_part(ours: Seg, theirs: Seg) -> bool:
    return (
        same(ours.mask, theirs.mask)
        and (ours.crop_region, ours.label) == (theirs.crop_region, theirs.label)
        and same([*map(float, ours.bbox), ours.confidence], [*theirs.bbox, theirs.confidence])
    )
