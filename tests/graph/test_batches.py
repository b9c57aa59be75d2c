"""How many files a plan says that a job saves."""

from typing import Any

import pytest

from graph.batches import expected_outputs
from graph.folding import fold
from graph.nodes import load_node_types
from graph.validation import Uploads, validate
from graph.workflow import read_workflow
from tests.graph.nodes_for_tests import TwoFiles

TYPES = load_node_types()


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def drawn(count: int) -> dict[str, Any]:
    return node("EmptyImage", width=64, height=64, batch_size=count, color=0)


SAVE = node("SaveImage", images=["1", 0], filename_prefix="x")
THEN = node("SaveImage", images=["2", 0], filename_prefix="x")
REPEAT = node("RepeatImageBatch", image=["1", 0], amount=3)
JOIN = node("ImageBatch", image1=["1", 0], image2=["1", 0])
PART = node("ImageFromBatch", image=["1", 0], batch_index=0, length=2)
LIST = node("RebatchImages", images=["1", 0], batch_size=1)
HOW = {"filename_prefix": "x", "fps": 6.0, "compress_level": 4}
ANIMATION = node("SaveAnimatedPNG", images=["1", 0], **HOW)
VIDEO = node("SaveWEBM", images=["1", 0], filename_prefix="x", codec="vp9", fps=8.0, crf=32.0)
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "batch": (64, {"1": drawn(64), "9": SAVE}),
    "previews": (64, {"1": drawn(64), "9": node("PreviewImage", images=["1", 0])}),
    "two outputs": (8, {"1": drawn(4), "8": SAVE, "9": SAVE}),
    "linked": (7, {"0": node("PrimitiveInt", value=7), "1": drawn(1), "9": SAVE}),
    "repeated": (12, {"1": drawn(4), "2": REPEAT, "9": THEN}),
    "joined": (8, {"1": drawn(4), "2": JOIN, "9": THEN}),
    "part": (2, {"1": drawn(4), "2": PART, "9": THEN}),
    "list": (4, {"1": drawn(4), "2": LIST, "9": THEN}),
    "animation": (1, {"1": drawn(4), "9": ANIMATION}),
    "video": (1, {"1": drawn(4), "9": VIDEO}),
}
CASES["linked"][1]["1"]["inputs"]["batch_size"] = ["0", 0]


@pytest.mark.parametrize("name", CASES)
def test_the_files_of_a_plan_are_counted(name: str) -> None:
    count, document = CASES[name]
    checked = validate(read_workflow(document, {}), TYPES, TwoFiles(), Uploads())
    assert expected_outputs(fold(checked), TYPES) == count


def test_a_seed_that_is_linked_is_known_to_the_plan() -> None:
    document = CASES["linked"][1]
    checked = validate(read_workflow(document, {}), TYPES, TwoFiles(), Uploads())
    assert fold(checked).known["0"] == (7,)
