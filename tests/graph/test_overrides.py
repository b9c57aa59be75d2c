"""What a caller may call an input, and what becomes of its value."""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.overrides import apply
from graph.problems import WorkflowInvalidError
from graph.prompt import Source, Workflow
from graph.workflow import read_workflow
from tests.graph.ui_files import golden

KNOWN = load_comfyui_nodes()


def read(number: str) -> Workflow:
    return read_workflow(golden(number), KNOWN)


def overridden(workflow: Workflow, inputs: Mapping[str, Any]) -> tuple[Workflow, dict[str, str]]:
    """Raises what becomes of the overrides that mean nothing."""
    changed, applied = apply(workflow, inputs, KNOWN, Random(0))
    if changed.problems:
        raise WorkflowInvalidError(changed.problems)
    return changed, applied


@pytest.mark.parametrize(
    "inputs",
    [
        {"5": {"seed": 7}},
        {"5.seed": 7},
        {"KSampler": {"seed": 7}},
        {"KSampler.seed": 7},
    ],
)
def test_a_node_is_named_by_id_or_title(inputs: Mapping[str, Any]) -> None:
    workflow, applied = overridden(read("01"), inputs)
    assert workflow.nodes["5"].inputs["seed"] == 7
    assert list(applied.values()) == ["5"]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("4:6.seed", "the id the editor gives"),
        ("4:3.seed", "the path stored in the file"),
        ("6.seed", "a tail of the id"),
        ("Sample/KSampler.seed", "the path of titles"),
        ("KSampler.seed", "the title inside"),
        ("4.seed", "the input promoted on the instance"),
        ("Sample.seed", "the title of the instance"),
    ],
)
def test_a_node_in_a_subgraph_is_named_in_many_ways(key: str, why: str) -> None:
    workflow, applied = overridden(read("21"), {key: 7})
    assert workflow.nodes["4:6"].inputs["seed"] == 7, why
    assert applied == {key: "4:6"}


def test_a_nested_node_is_named_by_any_part_of_its_path() -> None:
    for key in ("4:9:6.steps", "9:6.steps", "4:5:3.steps", "Outer/Sample/KSampler.steps"):
        workflow, _ = overridden(read("24"), {key: 3})
        assert workflow.nodes["4:9:6"].inputs["steps"] == 3


def test_an_input_promoted_twice_is_set_from_the_outermost_instance() -> None:
    workflow, applied = overridden(read("24"), {"4": {"seed": 5}})
    assert workflow.nodes["4:9:6"].inputs["seed"] == 5
    assert applied == {"4.seed": "4:9:6"}


def test_the_input_decides_between_an_id_and_a_stored_path_that_are_equal() -> None:
    workflow, _ = overridden(read("23"), {"6:8.seed": 5, "4:8.vae": "none"})
    assert workflow.nodes["6:8"].inputs["seed"] == 5
    assert workflow.nodes["4:9"].inputs["vae"] == "none"


def test_a_name_of_app_mode_stands_alone() -> None:
    workflow, applied = overridden(read("30"), {"text": "a dog", "seed": 9})
    assert workflow.nodes["2"].inputs["text"] == "a dog"
    assert workflow.nodes["5"].inputs["seed"] == 9
    assert applied == {"text": "2", "seed": "5"}


def test_a_primitive_sets_all_it_feeds() -> None:
    workflow, _ = overridden(read("09"), {"8": {"value": "a dog"}})
    texts = [node.inputs["text"] for node in workflow.nodes.values() if "text" in node.inputs]
    assert texts == ["a dog", "a dog"]


def test_a_constant_replaces_a_link() -> None:
    before = read("10")
    assert isinstance(before.nodes["5"].inputs["steps"], Source)
    workflow, _ = overridden(before, {"5.steps": 4})
    assert workflow.nodes["5"].inputs["steps"] == 4


def test_the_workflow_that_came_in_stays_as_it_was() -> None:
    before = read("01")
    overridden(before, {"5.seed": 7})
    assert before.nodes["5"].inputs["seed"] == 42


def test_a_random_seed_is_drawn_from_the_given_source() -> None:
    drawn = [
        overridden(read("01"), {"5.seed": "random"})[0].nodes["5"].inputs["seed"] for _ in "ab"
    ]
    assert drawn[0] == drawn[1]
    assert 0 <= drawn[0] < 2**53


def test_random_is_a_word_where_there_is_no_seed() -> None:
    workflow, _ = overridden(read("01"), {"2.text": "random"})
    assert workflow.nodes["2"].inputs["text"] == "random"


def test_a_list_is_a_value() -> None:
    workflow, _ = overridden(read("01"), {"2.text": {"__value__": [1, 2]}})
    assert workflow.nodes["2"].inputs["text"] == [1, 2]
    assert workflow.to_api()["2"]["inputs"]["text"] == {"__value__": [1, 2]}


def test_all_overrides_that_match_nothing_or_too_much_are_told_at_once() -> None:
    inputs = {"5.sed": 1, "99.text": "x", "CLIPTextEncode.text": "x", "2.text": "fine"}
    with pytest.raises(WorkflowInvalidError) as raised:
        overridden(read("01"), inputs)
    problems = {problem.received: problem for problem in raised.value.problems}
    assert set(problems) == {"5.sed", "99.text", "CLIPTextEncode.text"}
    assert problems["5.sed"].suggestion == "5.seed"
    assert problems["CLIPTextEncode.text"].code == "override_ambiguous"
    assert problems["CLIPTextEncode.text"].expected == ["2.text", "3.text"]


def test_a_misspelt_title_is_answered_with_the_one_that_is_close() -> None:
    with pytest.raises(WorkflowInvalidError) as raised:
        overridden(read("16"), {"Positve.text": "x"})
    assert raised.value.problems[0].suggestion == "Positive.text"


def test_inputs_must_be_an_object() -> None:
    changed, _ = apply(read("01"), ["5.seed"], KNOWN, Random(0))
    assert [problem.code for problem in changed.problems] == ["override_invalid"]


def test_a_widget_promoted_through_two_instances_is_set_from_the_outer_one() -> None:
    document = golden("24")
    outer = next(node for node in document["nodes"] if node["id"] == 4)
    inner = document["definitions"]["subgraphs"][1]["nodes"][0]
    outer["properties"]["proxyWidgets"] = [["5", "steps"]]
    inner["properties"]["proxyWidgets"] = [["3", "steps"]]
    workflow, _ = overridden(read_workflow(document, KNOWN), {"4.steps": 3})
    assert workflow.nodes["4:9:6"].inputs["steps"] == 3


def test_a_class_names_a_node_where_it_is_the_only_one() -> None:
    workflow = read_workflow({"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}, KNOWN)
    assert overridden(workflow, {"KSampler.seed": 2})[0].nodes["3"].inputs["seed"] == 2
