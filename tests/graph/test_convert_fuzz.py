"""Whatever comes in: a workflow, or an error that a caller can be told about."""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.comfyui_nodes import load_comfyui_nodes
from graph.errors import ServiceError
from graph.overrides import apply
from graph.parameters import parameters
from graph.prompt import Source, Workflow
from graph.ui import convert_ui
from graph.workflow import read_workflow
from tests.graph.ui_files import GOLDENS, golden

KNOWN = load_comfyui_nodes()
NUMBERS = sorted(path.name[:2] for path in GOLDENS.glob("*.ui.json"))
SMALL = [json.loads(line) for line in (GOLDENS / "small.jsonl").read_text().splitlines()]
QUIET = settings(derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["nodes", "links", "id", "type", "inputs", "class_type", "prompt", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        yield (*path, key)
        if isinstance(each, dict | list):
            yield from places(each, (*path, key))


def damaged(document: dict[str, Any], place: tuple[Any, ...], junk: Any) -> None:
    """Put `junk` in a place of `document`, or take away what is there if it is "DELETE"."""
    at: Any = document
    for key in place[:-1]:
        at = at[key]
    if junk == "DELETE":
        del at[place[-1]]
    else:
        at[place[-1]] = junk


def check(body: object) -> None:
    """Read, describe and override; only a ServiceError may come of it."""
    try:
        workflow = read_workflow(body, KNOWN)
    except ServiceError as error:
        sentence = str(error)
    else:
        sentence = check_workflow(workflow)
    assert sentence


def check_workflow(workflow: Workflow) -> str:
    for node in workflow.nodes.values():
        for value in node.inputs.values():
            assert (
                not isinstance(value, Source) or value.node_id in workflow.nodes or not workflow.ui
            )
    json.dumps(workflow.to_api(), allow_nan=False)
    names = list(parameters(workflow, KNOWN)["properties"])
    try:
        apply(workflow, dict.fromkeys(names, 1), KNOWN, Random(0))
    except ServiceError as error:
        return str(error)
    return "It runs."


@QUIET
@given(JSON)
def test_any_json_is_a_workflow_or_an_error(body: object) -> None:
    check(body)


@QUIET
@given(st.text() | st.binary())
def test_any_text_is_a_workflow_or_an_error(body: str | bytes) -> None:
    check(body)


@QUIET
@given(st.data(), st.sampled_from(NUMBERS))
def test_a_damaged_file_is_a_workflow_or_an_error(data: st.DataObject, number: str) -> None:
    document = golden(number)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(places(document))))
        damaged(document, place, data.draw(st.just("DELETE") | JSON))
    check(document)


@QUIET
@given(st.data(), st.sampled_from(NUMBERS))
def test_a_damaged_prompt_is_a_workflow_or_an_error(data: st.DataObject, number: str) -> None:
    document = read_workflow(golden(number), KNOWN).to_api()
    place = data.draw(st.sampled_from(list(places(document))))
    damaged(document, place, data.draw(st.just("DELETE") | JSON))
    check(document)


@QUIET
@given(st.data(), st.sampled_from(SMALL))
def test_a_damaged_group_or_subgraph_is_a_workflow_or_an_error(
    data: st.DataObject, small: dict[str, Any]
) -> None:
    document = copy.deepcopy(small["ui"])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(places(document))))
        damaged(document, place, data.draw(st.just("DELETE") | JSON))
    check(document)


@QUIET
@given(st.data(), st.sampled_from(SMALL))
def test_damaged_node_types_are_read_or_refused(data: st.DataObject, small: dict[str, Any]) -> None:
    document = small["ui"]
    graphs = [document, *document.get("definitions", {}).get("subgraphs", [])]
    graphs += document["extra"].get("groupNodes", {}).values()
    kinds = {item["type"] for graph in graphs for item in graph["nodes"]} & KNOWN.keys()
    facts = copy.deepcopy({kind: KNOWN[kind] for kind in kinds})
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(places(facts)) or [("x",)]))
        damaged(facts, place, data.draw(JSON))
    try:
        sentence = json.dumps(convert_ui(document, facts).to_api())
    except ServiceError as error:
        sentence = str(error)
    assert sentence


def with_text_ids(value: Any, key: str = "") -> Any:
    """The file with ids as text, as some tools write them."""
    if isinstance(value, dict):
        return {name: with_text_ids(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [with_text_ids(each) for each in value]
    is_id = key in ("id", "link", "origin_id", "target_id") and value is not None
    return str(value) if is_id else value


@pytest.mark.parametrize("number", NUMBERS)
def test_ids_may_be_text(number: str) -> None:
    document = with_text_ids(golden(number))
    expected = read_workflow(golden(number), KNOWN).to_api()
    assert read_workflow(document, KNOWN).to_api() == expected


@pytest.mark.parametrize("number", NUMBERS)
def test_the_order_of_nodes_and_links_does_not_matter(number: str) -> None:
    document, expected = golden(number), read_workflow(golden(number), KNOWN).to_api()
    for seed in range(5):
        shuffled = copy.deepcopy(document)
        Random(seed).shuffle(shuffled["nodes"])
        Random(seed).shuffle(shuffled["links"])
        assert read_workflow(shuffled, KNOWN).to_api() == expected


@pytest.mark.parametrize("number", NUMBERS)
def test_keys_that_only_lay_a_node_out_may_be_missing(number: str) -> None:
    document, expected = golden(number), read_workflow(golden(number), KNOWN).to_api()
    for node in document["nodes"]:
        for key in ("pos", "size", "flags", "order", "mode" if node["mode"] == 0 else "pos"):
            node.pop(key, None)
        for slot in node.get("outputs") or ():
            slot.pop("slot_index", None)
            slot.pop("links", None)
    for key in ("groups", "config", "last_link_id", "version", "revision"):
        document.pop(key, None)
    assert read_workflow(document, KNOWN).to_api() == expected


@pytest.mark.parametrize("number", NUMBERS)
def test_a_converted_workflow_reads_back_as_it_was_written(number: str) -> None:
    written = read_workflow(golden(number), KNOWN).to_api()
    assert read_workflow(json.dumps(written), KNOWN).to_api() == written
