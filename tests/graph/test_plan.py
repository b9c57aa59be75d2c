"""How a workflow is cut into segments."""

from typing import Any

from graph.folding import fold
from graph.plan import Plan, make_plan
from graph.stages import Stage
from tests.graph.nodes_for_tests import checked, guided_batch, picture


def plan_of(document: dict[str, Any], known: frozenset[str] = frozenset()) -> Plan:
    return make_plan(fold(checked(document)), known.__contains__)


def shape(plan: Plan) -> list[tuple[Stage, set[str]]]:
    return [(s.stage, {step.node_id for step in s.steps}) for s in plan.segments]


def test_neighbours_of_one_stage_are_one_segment() -> None:
    assert shape(plan_of(picture())) == [
        (Stage.ENCODE, {"2"}),
        (Stage.SAMPLE, {"3", "4", "5"}),
        (Stage.OUTPUT, {"6"}),
    ]


def test_loaders_are_folded_into_what_uses_them() -> None:
    (_, sampling, _) = plan_of(picture()).segments
    (step,) = [step for step in sampling.steps if step.node_id == "4"]
    assert step.constants["model"].file.name == "a.safetensors"
    assert sampling.base == "a.safetensors"


def test_only_what_leaves_a_segment_or_was_costly_is_given() -> None:
    (_, sampling, _) = plan_of(picture()).segments
    assert sampling.gives == {"4", "5"}


def test_a_step_joins_all_its_neighbours_and_not_only_the_first() -> None:
    assert shape(plan_of(guided_batch(3))) == [
        (Stage.ENCODE, {"2"}),
        (Stage.SAMPLE, {"3", "4", "5", "7"}),
        (Stage.OUTPUT, {"6"}),
    ]


def test_what_names_no_base_works_for_its_neighbours() -> None:
    document = guided_batch(3)
    (_, sampling, _) = plan_of(document).segments
    assert sampling.base == "a.safetensors"


def test_samplers_of_two_bases_are_two_segments() -> None:
    document = picture()
    document["7"] = {"class_type": "Load", "inputs": {"name": "b.safetensors"}}
    document["8"] = {
        "class_type": "Sample",
        "inputs": {"model": ["7", 0], "prompt": ["2", 0], "latent": ["4", 0], "how": "euler"},
    }
    document["5"]["inputs"]["latent"] = ["8", 0]
    assert shape(plan_of(document))[1:] == [
        (Stage.SAMPLE, {"3", "4"}),
        (Stage.SAMPLE, {"8", "5"}),
        (Stage.OUTPUT, {"6"}),
    ]


def test_a_detour_through_another_stage_does_not_close_a_circle() -> None:
    document = picture()
    document["7"] = {"class_type": "Blur", "inputs": {"image": ["5", 0], "radius": 2}}
    document["8"] = {
        "class_type": "Sample",
        "inputs": {"model": ["1", 0], "prompt": ["7", 0], "latent": ["4", 0], "how": "euler"},
    }
    document["9"] = {"class_type": "Decode", "inputs": {"latent": ["8", 0]}}
    document["6"]["inputs"]["image"] = ["9", 0]
    assert shape(plan_of(document)) == [
        (Stage.ENCODE, {"2"}),
        (Stage.SAMPLE, {"3", "4", "5"}),
        (Stage.IMAGE, {"7"}),
        (Stage.SAMPLE, {"8", "9"}),
        (Stage.OUTPUT, {"6"}),
    ]


def test_prompts_that_do_not_depend_on_each_other_share_a_call() -> None:
    document = picture()
    document["7"] = {"class_type": "Text", "inputs": {"clip": ["1", 1], "words": "other"}}
    document["8"] = {"class_type": "Save", "inputs": {"image": ["7", 0]}}
    assert (Stage.ENCODE, {"2", "7"}) in shape(plan_of(document))


def test_two_nodes_that_say_the_same_are_one_step() -> None:
    document = picture()
    document["7"] = document["2"]
    document["8"] = {"class_type": "Save", "inputs": {"image": ["7", 0]}}
    (encode, *_) = plan_of(document).segments
    assert [step.node_id for step in encode.steps] == ["2"]


def test_the_plan_stops_at_what_is_known() -> None:
    document = picture()
    key = fold(checked(document)).steps["4"].key
    plan = plan_of(document, frozenset({key}))
    assert plan.known == {"4"}
    assert shape(plan) == [(Stage.SAMPLE, {"5"}), (Stage.OUTPUT, {"6"})]


def test_keys_follow_what_a_node_says_and_not_its_id() -> None:
    one, other = fold(checked(picture())), fold(checked(picture()))
    changed = fold(checked(picture("wolf")))
    assert one.steps["5"].key == other.steps["5"].key != changed.steps["5"].key
    assert one.steps["3"].key == changed.steps["3"].key
