"""The lists of node types in the docs are those of the code."""

from benchmarks.node_list import DIFFERENCES, PACKS, PAGE
from graph.nodes import load_node_types


def test_the_page_names_every_node_type_of_a_pack() -> None:
    page = PAGE.read_text("utf-8")
    missing = [
        name
        for name, node_type in load_node_types().items()
        if node_type.function.__module__.startswith(PACKS)
        and not node_type.internal
        and f"`{name}`" not in page
    ]
    assert missing == []


def test_what_differs_is_said_of_nodes_that_are_there() -> None:
    assert DIFFERENCES.keys() <= load_node_types().keys()
