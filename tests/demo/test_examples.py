"""The workflows in `examples/` are what the program makes, in both formats."""

import json
from pathlib import Path

import pytest

from demo.client import encoded
from demo.workflows import WORKFLOWS, compact, inputs
from graph.nodes import load_node_types
from graph.object_info import ObjectInfo
from graph.workflow import read_workflow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class NoFiles:
    """A server without models and uploads."""

    def models(self, folder: str) -> list[str]:
        return []

    def uploads(self, kind: str) -> list[str]:
        return []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_an_example_is_as_the_program_makes_it(name: str) -> None:
    assert (EXAMPLES / f"{name}.json").read_text() == compact(WORKFLOWS[name]())


@pytest.mark.parametrize("name", WORKFLOWS)
def test_both_formats_of_an_example_say_the_same(name: str) -> None:
    document = json.loads((EXAMPLES / f"{name}.ui.json").read_text())
    read = read_workflow(document, ObjectInfo(load_node_types(), NoFiles()))
    nodes = {
        key: {"class_type": node["class_type"], "inputs": node["inputs"]}
        for key, node in read.to_api().items()
    }
    assert nodes == WORKFLOWS[name]()
    assert read.warnings == ()


def test_pictures_that_examples_load_are_there() -> None:
    for name, picture in inputs().items():
        assert (EXAMPLES / "input" / name).read_bytes() == encoded(picture)
