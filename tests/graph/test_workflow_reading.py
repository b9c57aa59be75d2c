"""Reading: the two formats, their wrappers, and sentences for what is no workflow."""

import json
import pickle
from typing import Any

import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.prompt import (
    BadLinkedInput,
    NoLink,
    Source,
    WorkflowNotJson,
    WorkflowTooLarge,
    WorkflowUnreadable,
)
from graph.workflow import ReadLimits, read_workflow
from tests.graph.ui_files import golden

KNOWN = load_comfyui_nodes()
PROMPT: dict[str, Any] = {
    "1": {"class_type": "Load", "inputs": {"name": "a"}, "_meta": {"title": "Base"}},
    "2": {"class_type": "Text", "inputs": {"clip": ["1", 1], "words": {"__value__": [1, 2]}}},
}


def test_api_format_becomes_nodes_with_links_as_sources() -> None:
    workflow = read_workflow(PROMPT, {})
    assert workflow.nodes["1"].title == "Base"
    assert workflow.nodes["2"].inputs == {"clip": Source("1", 1), "words": [1, 2]}
    assert workflow.ui is None


def test_api_format_survives_reading_and_writing() -> None:
    written = read_workflow(PROMPT, {}).to_api()
    assert read_workflow(written, {}).to_api() == written
    assert written["2"]["inputs"] == PROMPT["2"]["inputs"]


@pytest.mark.parametrize(
    "wrapped",
    [
        {"prompt": PROMPT},
        {"workflow": PROMPT},
        {"workflow": json.dumps(PROMPT)},
        {"prompt": PROMPT, "client_id": "c", "extra_data": {}},
        {"prompt": [3, "id", PROMPT, {}, ["2"]], "outputs": {}, "status": {}},
        {"0f0f": {"prompt": [3, "id", PROMPT, {}, ["2"]], "outputs": {}}},
        {"workflow": {"prompt": PROMPT}},
        json.dumps(PROMPT),
        "\ufeff" + json.dumps(PROMPT),
        json.dumps(PROMPT).encode(),
    ],
)
def test_a_workflow_may_come_wrapped(wrapped: object) -> None:
    assert read_workflow(wrapped, {}) == read_workflow(PROMPT, {})


def test_the_editors_file_in_extra_data_is_kept_for_metadata() -> None:
    body = {"prompt": PROMPT, "extra_data": {"extra_pnginfo": {"workflow": golden("01")}}}
    assert read_workflow(body, {}).ui == golden("01")


def test_the_editors_file_is_kept_as_it_came() -> None:
    assert read_workflow(golden("20"), KNOWN).ui == golden("20")


def test_nan_is_read_as_null() -> None:
    text = '{"1": {"class_type": "A", "inputs": {"x": NaN, "y": -Infinity}}}'
    assert read_workflow(text, {}).nodes["1"].inputs == {"x": None, "y": None}


def test_text_that_cannot_be_encoded_is_made_so_that_it_can() -> None:
    text = '{"1": {"class_type": "A", "inputs": {"x\\ud800": "\\udfff!"}}}'
    assert read_workflow(text, {}).nodes["1"].inputs == {"x?": "?!"}


@pytest.mark.parametrize("body", ["{", b"\xff\xfe", "[1]", "3", None, 5, ["a"], "nul"])
def test_what_is_no_json_object_is_told_so(body: object) -> None:
    with pytest.raises(WorkflowNotJson) as raised:
        read_workflow(body, {})
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"a": 1},
        {"workflow": {}},
        {"prompt": {"1": {"inputs": {}}}},
    ],
)
def test_what_is_no_workflow_is_told_so(body: object) -> None:
    with pytest.raises(WorkflowUnreadable) as raised:
        read_workflow(body, {})
    assert raised.value.status == 422


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"inputs": {}}, "It has no class_type"),
        ({"inputs": {}, "_meta": {"title": "Saver"}}, "It (titled 'Saver') has no class_type"),
        (3, "A node must be an object, got a number."),
        ({"class_type": 7}, "It has no class_type"),
        ({"class_type": "A", "inputs": [1]}, "Its inputs must be an object, got a list."),
    ],
)
def test_every_malformed_node_is_named_and_the_rest_is_read(broken: object, said: str) -> None:
    workflow = read_workflow({"1": {"class_type": "A"}, "2": broken, "3": broken}, {})
    assert [problem.node_id for problem in workflow.problems] == ["2", "3"]
    assert all(problem.message.startswith(said) for problem in workflow.problems)
    assert all(problem.code == "invalid_prompt" for problem in workflow.problems)
    assert workflow.nodes["1"].class_type == "A"


@pytest.mark.parametrize("link", [["1"], ["1", -1], ["1", True], ["1", "0"], ["1", 0, 0], []])
def test_a_list_that_is_no_link_is_kept_as_one_and_written_as_it_came(link: list[Any]) -> None:
    document = {"1": {"class_type": "A"}, "7": {"class_type": "B", "inputs": {"x": link}}}
    workflow = read_workflow(document, {})
    assert workflow.nodes["7"].inputs["x"] == NoLink(link)
    assert workflow.to_api()["7"]["inputs"] == {"x": link}


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        (json.dumps(PROMPT), ReadLimits(max_bytes=10)),
        (PROMPT, ReadLimits(max_nodes=1)),
        (golden("01"), ReadLimits(max_nodes=3)),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, ReadLimits()),
        ({"1": {"class_type": "A", "inputs": {"x": {"y": {}}}}}, ReadLimits(max_json_depth=3)),
    ],
)
def test_too_large_is_told_so(body: object, limits: ReadLimits) -> None:
    with pytest.raises(WorkflowTooLarge) as raised:
        read_workflow(body, {}, limits=limits)
    assert raised.value.status == 413


def test_an_object_that_holds_itself_is_too_deep() -> None:
    body: dict[str, Any] = {"1": {"class_type": "A", "inputs": {}}}
    body["1"]["inputs"]["x"] = body
    with pytest.raises(WorkflowTooLarge):
        read_workflow(body, {})


def test_a_pack_is_read_and_written() -> None:
    meta = {"title": "T", "cnr_id": "comfyui-kjnodes", "ver": "1.0.5"}
    workflow = read_workflow({"1": {"class_type": "A", "inputs": {}, "_meta": meta}}, {})
    assert workflow.nodes["1"].pack == "comfyui-kjnodes@1.0.5"
    assert workflow.to_api()["1"]["_meta"] == meta


@pytest.mark.parametrize("kind", [WorkflowUnreadable, WorkflowNotJson, BadLinkedInput])
def test_errors_arrive_from_another_process_as_they_were(kind: type[WorkflowUnreadable]) -> None:
    error = pickle.loads(pickle.dumps(kind("Why.", "3", "x")))
    assert type(error) is kind
    assert str(error) == "Why."
    assert (error.node_id, error.input) == ("3", "x")
