"""What a file of the editor's says once and its subgraphs, groups and primitives repeat."""

from typing import Any

import pytest

from benchmarks.shapes import group_nodes, subgraphs
from graph.comfyui_nodes import load_comfyui_nodes
from graph.prompt import WorkflowTooLarge
from graph.ui import convert_ui
from tests.graph.ui_files import document, node

KNOWN = load_comfyui_nodes()
LONG = "x" * 10_000


def _prompts(count: int, text: Any) -> dict[str, Any]:
    """A primitive whose value goes to many prompts."""
    primitive = node(1, "PrimitiveNode", [text, "fixed"], outputs=["STRING"])
    prompts = [
        node(k, "CLIPTextEncode", [""], inputs=[("text", "STRING", k, "text")])
        for k in range(2, count + 2)
    ]
    links = [[k, 1, 0, k, 0, "STRING"] for k in range(2, count + 2)]
    return document([primitive, *prompts], links)


def _titled(file: dict[str, Any]) -> dict[str, Any]:
    """The file with long titles of its instances, which are part of the names of what they hold."""
    graphs = [file, *file["definitions"]["subgraphs"]]
    for graph in graphs:
        for item in graph["nodes"]:
            if str(item["type"]).startswith("level"):
                item["title"] = LONG
    return file


def _with_long_ids(file: dict[str, Any]) -> dict[str, Any]:
    for graph in file["definitions"]["subgraphs"]:
        names = {item["id"]: f"{LONG}{item['id']}" for item in graph["nodes"]}
        for item in graph["nodes"]:
            item["id"] = names[item["id"]]
        for link in graph["links"]:
            link[1], link[3] = names.get(link[1], link[1]), names.get(link[3], link[3])
    return file


def _grouped(file: dict[str, Any]) -> dict[str, Any]:
    for item in file["extra"]["groupNodes"]["ten"]["nodes"]:
        item["title"] = LONG
    return file


@pytest.mark.parametrize(
    "file",
    [
        _prompts(1000, LONG),
        _prompts(1000, [LONG]),
        _titled(subgraphs(1000)["workflow"]),
        _with_long_ids(subgraphs(1000)["workflow"]),
        _grouped(group_nodes(1000)["workflow"]),
    ],
    ids=["a text", "a list", "titles", "ids", "group nodes"],
)
def test_what_is_repeated_counts_as_often_as_it_is_there(file: dict[str, Any]) -> None:
    with pytest.raises(WorkflowTooLarge, match="5000000 characters"):
        convert_ui(file, KNOWN, max_text=5_000_000)


def test_replacements_count_too() -> None:
    nodes = [node(1, "CLIPTextEncode", [LONG], title="long")]
    nodes += [node(k, "SaveImage", ["%long.text%" * 50]) for k in range(2, 22)]
    with pytest.raises(WorkflowTooLarge, match="characters once"):
        convert_ui(document(nodes), KNOWN, max_text=1_000_000)


@pytest.mark.parametrize("shape", [subgraphs, group_nodes])
def test_large_files_of_usual_names_are_far_below_the_limit(shape: Any) -> None:
    convert_ui(shape(4000)["workflow"], KNOWN, max_text=10_000_000)
