"""Files of the editor's, and what editor 1.58.1 (headless Chromium) exported for each.

Thirty were drawn up by hand, one rule of the format each, and exported over the node types of
ComfyUI 0.3.64; thirty in `today` are official templates of October 2026, over those of 0.33.0, as
are the small ones of `small.jsonl`: group nodes, promoted widgets, reroutes, primitives.
`_meta` is not compared.
"""

import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from graph.comfyui_nodes import load_comfyui_nodes
from graph.workflow import read_workflow

GOLDENS = Path(__file__).parents[1] / "data" / "ui_to_api"
TODAY = GOLDENS / "today"
EXPORTED = datetime(2026, 1, 1, tzinfo=UTC)  # 16 has the year in a file name
UNKNOWN = ("15_unknown_node", "8", "TotallyUnknownNode")  # the editor exports it without a class


def names_in(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".ui.json") for path in folder.glob("*.ui.json"))


NAMES, TEMPLATES = names_in(GOLDENS), names_in(TODAY)
SMALL = [json.loads(line) for line in (GOLDENS / "small.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def node_types() -> Mapping[str, Any]:
    return load_comfyui_nodes()


@pytest.fixture(scope="module")
def todays_types() -> Mapping[str, Any]:
    facts: Mapping[str, Any] = json.loads(
        gzip.decompress((TODAY / "object_info.json.gz").read_bytes())
    )
    return facts


def without_meta(prompt: Mapping[str, Any]) -> dict[str, Any]:
    return {
        node_id: {"class_type": node.get("class_type"), "inputs": node["inputs"]}
        for node_id, node in prompt.items()
    }


def exported(name: str) -> dict[str, Any]:
    text = (GOLDENS / f"{name}.fe1.58.1.api.json").read_text()
    return without_meta(json.loads(text)["output"])


def converted(name: str, node_types: Mapping[str, Any]) -> dict[str, Any]:
    text = (GOLDENS / f"{name}.ui.json").read_text()
    return without_meta(read_workflow(text, node_types, now=EXPORTED).to_api())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_converts_to_what_the_editor_exports(
    name: str, node_types: Mapping[str, Any]
) -> None:
    expected = exported(name)
    if name == UNKNOWN[0]:
        assert expected[UNKNOWN[1]]["class_type"] is None
        expected[UNKNOWN[1]]["class_type"] = UNKNOWN[2]  # kept, so that an error can name it
    assert converted(name, node_types) == expected


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_converts_to_what_the_editor_exports(
    name: str, todays_types: Mapping[str, Any]
) -> None:
    expected = json.loads((TODAY / f"{name}.fe1.58.1.api.json").read_text())
    text = (TODAY / f"{name}.ui.json").read_text()
    assert without_meta(read_workflow(text, todays_types).to_api()) == without_meta(expected)


@pytest.mark.parametrize("small", SMALL, ids=[small["name"] for small in SMALL])
def test_a_small_file_converts_to_what_the_editor_exports(
    small: Mapping[str, Any], todays_types: Mapping[str, Any]
) -> None:
    found = read_workflow(small["ui"], todays_types, now=EXPORTED).to_api()
    assert without_meta(found) == without_meta(small["api"])


def test_all_files_are_there() -> None:
    assert (len(NAMES), len(TEMPLATES)) == (30, 30)
