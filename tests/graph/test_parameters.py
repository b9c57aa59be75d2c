"""The JSON Schema of a workflow's parameters."""

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.parameters import parameters
from graph.workflow import read_workflow
from tests.graph.ui_files import GOLDENS, golden

KNOWN = load_comfyui_nodes()
NUMBERS = sorted(path.name[:2] for path in GOLDENS.glob("*.ui.json"))


def schema(number: str) -> dict[str, Any]:
    return parameters(read_workflow(golden(number), KNOWN), KNOWN)


def test_constants_are_parameters_and_links_are_not() -> None:
    names = set(schema("01")["properties"])
    assert {"5.steps", "2.text", "7.filename_prefix"} <= names
    assert "5.model" not in names


def test_a_number_has_its_type_default_and_range() -> None:
    steps = schema("01")["properties"]["5.steps"]
    assert steps["type"] == "integer"
    assert (steps["default"], steps["minimum"], steps["maximum"]) == (20, 1, 10_000)


def test_a_combo_has_its_choices() -> None:
    assert "euler" in schema("01")["properties"]["5.sampler_name"]["enum"]


def test_a_seed_is_marked_and_may_be_random() -> None:
    seed = schema("01")["properties"]["5.seed"]
    assert seed["x-seed"] is True
    assert {"const": "random"} in seed["anyOf"]


def test_the_authors_choice_of_inputs_comes_alone_and_in_order() -> None:
    assert list(schema("30")["properties"]) == ["text", "seed"]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_schema_is_valid_and_accepts_its_own_defaults(number: str) -> None:
    described = schema(number)
    jsonschema.Draft202012Validator.check_schema(described)
    files = ("ckpt_name", "lora_name")  # whose lists are empty or elsewhere
    defaults = {
        name: each["default"]
        for name, each in described["properties"].items()
        if "default" in each and each["x-input"] not in files
    }
    jsonschema.validate(defaults, described)


def test_marks_say_how_a_form_shows_an_input() -> None:
    text = schema("01")["properties"]["2.text"]
    assert text["x-multiline"] is True
    assert text["x-group"] == text["title"].rpartition(": ")[0]
    known = {"LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}}}
    workflow = read_workflow(
        {"3": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}, known
    )
    image = parameters(workflow, known)["properties"]["3.image"]
    assert image["x-upload"] == "image"
    assert image["title"] == "LoadImage (3): image"
