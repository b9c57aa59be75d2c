"""What is refused, in ComfyUI's error types, and what is not."""

from typing import Any

import pytest

from graph.problems import Problem, WorkflowInvalidError
from graph.validation import compatible
from tests.graph.nodes_for_tests import checked, picture


def problems_of(document: dict[str, Any]) -> list[Problem]:
    with pytest.raises(WorkflowInvalidError) as caught:
        checked(document)
    return list(caught.value.problems)


def changed(node_id: str, **inputs: Any) -> dict[str, Any]:
    document = picture()
    document[node_id]["inputs"].update(inputs)
    return document


def test_a_complete_workflow_passes_in_an_order_in_which_it_can_run() -> None:
    order = list(checked(picture()).nodes)
    assert sorted(order) == ["1", "2", "3", "4", "5", "6"]
    assert order.index("2") < order.index("4") < order.index("5") < order.index("6")


@pytest.mark.parametrize(
    ("node_id", "inputs", "code"),
    [
        ("3", {"width": 8}, "value_smaller_than_min"),
        ("3", {"width": 65}, "value_bigger_than_max"),
        ("3", {"width": "wide"}, "invalid_input_type"),
        ("3", {"width": None}, "invalid_input_type"),
        ("4", {"how": "eulr"}, "value_not_in_list"),
        ("1", {"name": "c.safetensors"}, "value_not_in_list"),
        ("4", {"model": ["1", 1]}, "return_type_mismatch"),
        ("4", {"model": ["1", 7]}, "bad_linked_input"),
        ("4", {"model": ["99", 0]}, "bad_linked_input"),
        ("4", {"model": "a.safetensors"}, "bad_linked_input"),
        ("4", {"latent": ["5", 0]}, "return_type_mismatch"),
    ],
)
def test_a_wrong_input_is_named(node_id: str, inputs: dict[str, Any], code: str) -> None:
    (problem,) = [p for p in problems_of(changed(node_id, **inputs)) if p.code == code]
    (name,) = inputs
    assert (problem.node_id, problem.input) == (node_id, name)
    assert problem.dependent_outputs == ("6",)
    assert str(problem).startswith(f"Node {node_id}, input {name!r}: ")


def test_a_near_miss_is_suggested() -> None:
    (problem,) = problems_of(changed("4", how="eulr"))
    assert (problem.suggestion, problem.expected) == ("euler", ["euler", "heun"])


def test_a_missing_model_says_its_folder() -> None:
    (problem,) = problems_of(changed("1", name="c.safetensors"))
    assert problem.model == {"folder": "checkpoints", "name": "c.safetensors"}


def test_a_missing_required_input_is_an_error_although_its_widget_has_a_default() -> None:
    document = picture()
    del document["3"]["inputs"]["width"]
    (problem,) = problems_of(document)
    assert (problem.code, problem.input) == ("required_input_missing", "width")


def test_all_problems_come_at_once() -> None:
    document = changed("4", how="eulr")
    document["3"]["inputs"]["width"] = 1
    document["2"]["class_type"] = "Txt"
    codes = {problem.code for problem in problems_of(document)}
    assert codes == {"value_not_in_list", "value_smaller_than_min", "missing_node_type"}


def test_a_cycle_is_an_error_that_names_it() -> None:
    document = picture()
    document["4"]["inputs"]["latent"] = ["7", 0]
    document["7"] = {
        "class_type": "Sample",
        "inputs": {"model": ["1", 0], "prompt": ["2", 0], "latent": ["4", 0], "how": "heun"},
    }
    (problem,) = problems_of(document)
    assert problem.code == "dependency_cycle"
    assert set(problem.received) == {"4", "7"}


def test_what_no_output_needs_may_be_wrong() -> None:
    document = picture()
    document["9"] = {"class_type": "Nothing like it", "inputs": {"image": ["5", 0]}}
    assert "9" not in checked(document).nodes


def test_a_workflow_without_an_output_is_an_error() -> None:
    document = picture()
    del document["6"]
    assert [problem.code for problem in problems_of(document)] == ["prompt_no_outputs"]


def test_constants_are_converted_to_the_type_of_their_input() -> None:
    assert checked(changed("3", width="48")).nodes["3"].constants["width"] == 48


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("IMAGE", "*", True),
        ("*", "MASK", True),
        ("MASK", "IMAGE,MASK", True),
    ],
)
def test_types_fit_as_in_comfyui(given: str, wanted: str, *, fits: bool) -> None:
    assert compatible(given, wanted) is fits
