"""What is refused, in ComfyUI's error types, and what is not."""

from typing import Any

import pytest

from graph.coercion import coerced
from graph.embeddings import MOST_NAMED
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


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def blurred(image: list[Any], **more: Any) -> dict[str, Any]:
    return node("Blur", **{"image": image, "radius": 1.0, **more})


def saved(image: list[Any]) -> dict[str, Any]:
    return node("Save", image=image)


NO_TYPE, NOT_LISTED, WRONG_TYPE = "missing_node_type", "value_not_in_list", "invalid_input_type"


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


@pytest.mark.parametrize("size", [2, 3, 50])
def test_every_cycle_is_named_once(size: int) -> None:
    document = picture()
    for ring in ("a", "b"):
        for k in range(size):
            document[f"{ring}{k}"] = blurred([f"{ring}{(k + 1) % size}", 0])
        document[f"save {ring}"] = saved([f"{ring}0", 0])
    found = checked(document).skipped
    assert [one.node_id for one in found] == ["save a", "save b"]
    assert [len(one.problems[0].received) for one in found] == [size + 1, size + 1]
    assert found[0].problems[0].dependent_outputs == ("save a",)


def test_what_no_output_needs_may_be_wrong() -> None:
    document = picture()
    document["9"] = {"class_type": "Empty", "inputs": {"width": "wide"}}
    assert "9" not in checked(document).nodes
    assert checked(document).skipped == ()


@pytest.mark.parametrize(
    ("added", "code", "at"),
    [
        ({"9": {"class_type": "Image Save", "inputs": {"image": ["5", 0]}}}, NO_TYPE, "9"),
        ({"8": node("Upscale", image=["5", 0]), "9": node("Save", image=["8", 0])}, NO_TYPE, "8"),
        ({"8": node("Load", name="c"), "9": node("Image Save", m=["8", 0])}, NOT_LISTED, "8"),
        ({"9": node("Save", image=["5", 3])}, "bad_linked_input", "9"),
        ({"9": node("Save", image=["77", 0])}, "bad_linked_input", "9"),
        ({"9": node("Save", image=["5", "x"])}, "bad_linked_input", "9"),
        ({"9": node("Save", image="x")}, "bad_linked_input", "9"),
        ({"9": node("Save")}, "required_input_missing", "9"),
        ({"8": blurred(["8", 0]), "9": node("Save", image=["8", 0])}, "dependency_cycle", "8"),
        ({"8": blurred(["5", 0], radius="x"), "9": node("Save", image=["8", 0])}, WRONG_TYPE, "8"),
    ],
)
def test_an_output_that_cannot_run_is_skipped_and_named(
    added: dict[str, Any], code: str, at: str
) -> None:
    document = picture() | added
    found = checked(document)
    assert found.output_ids == ("6",)
    assert set(found.nodes) == {"1", "2", "3", "4", "5", "6"}
    (skipped,) = found.skipped
    assert (skipped.node_id, skipped.class_type) == ("9", added["9"]["class_type"])
    assert (code, at) in {(problem.code, problem.node_id) for problem in skipped.problems}
    assert all(problem.dependent_outputs == ("9",) for problem in skipped.problems)
    with pytest.raises(WorkflowInvalidError) as caught:
        checked(document, strict=True)
    assert code in {problem.code for problem in caught.value.problems}
    del document["6"]
    assert code in {problem.code for problem in problems_of(document)}


def test_a_malformed_document_does_not_run_in_part_and_hides_nothing() -> None:
    document = changed("4", how="eulr")
    document["8"] = {"inputs": {"image": ["5", 0]}}
    document["9"] = saved(["3", 0])
    found = {(problem.node_id, problem.code) for problem in problems_of(document)}
    assert found == {
        ("8", "invalid_prompt"),
        ("4", NOT_LISTED),
        ("9", "return_type_mismatch"),
    }


@pytest.mark.parametrize("value", [[1, 2, 3], [], [["a"]], ["77", 0], ["6", 0], {}, "x", None])
def test_what_is_in_an_input_that_the_type_lacks_does_not_matter(value: Any) -> None:
    assert checked(changed("4", note=value)).skipped == ()


def test_a_missing_node_says_its_pack_where_that_is_known() -> None:
    document = picture()
    document["8"] = node("Fast Groups Muter (rgthree)", image=["5", 0])
    document["9"] = node("FancySave", image=["5", 0]) | {"_meta": {"aux_id": "me/fancy"}}
    document["10"] = node("Sav", image=["5", 0])
    packs = [(one.pack, one.problems[0].suggestion) for one in checked(document).skipped]
    assert packs == [("rgthree-comfy", None), ("me/fancy", None), ("", "Save")]


@pytest.mark.parametrize("said", ["no such thing", "x", "eulereulereuler", "e" * 1_000_000])
def test_what_is_not_near_is_not_suggested(said: str) -> None:
    (problem,) = problems_of(changed("4", how=said))
    assert problem.suggestion is None


@pytest.mark.parametrize(
    ("value", "taken"),
    [("enable", True), ("disable", True), ("false", False), ("no", False), ("", False), (2, True)],
)
def test_any_value_is_a_boolean(value: Any, *, taken: bool) -> None:
    assert coerced("BOOLEAN", value) is taken


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


def _embeddings(first: int, count: int) -> str:
    return " ".join(f"embedding:e{k}, a fox" for k in range(first, first + count))


def test_prompts_name_no_more_embeddings_than_are_looked_for() -> None:
    checked(changed("2", words=_embeddings(0, MOST_NAMED) + _embeddings(0, 5)))
    (problem,) = problems_of(changed("2", words=_embeddings(0, MOST_NAMED + 1)))
    assert (problem.node_id, problem.expected) == ("2", MOST_NAMED)


def test_all_prompts_of_a_workflow_count() -> None:
    document = changed("2", words=_embeddings(0, MOST_NAMED // 2))
    document["more"] = node("Text", clip=["1", 1], words=_embeddings(900, MOST_NAMED // 2 + 1))
    document["sample"] = node("Sample", **{**document["4"]["inputs"], "prompt": ["more", 0]})
    document["decode"] = node("Decode", latent=["sample", 0])
    document["save"] = saved(["decode", 0])
    skipped = checked(document).skipped
    assert [problem.expected for one in skipped for problem in one.problems] == [MOST_NAMED]
