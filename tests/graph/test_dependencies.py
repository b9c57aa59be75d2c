"""Who needs whom: the same as the plain definition says, in time linear in the graph."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.dependencies import needed_by, reached_from

Graph = Mapping[str, Sequence[str]]  # the sources of each node


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, list[str]]:
    """A graph, cycles among them, and some of its nodes as outputs."""
    names = [str(k) for k in range(draw(st.integers(1, 12)))]
    links = {name: draw(st.lists(st.sampled_from(names), max_size=4)) for name in names}
    return links, draw(st.lists(st.sampled_from(names), unique=True, max_size=6))


def upstream(graph: Graph, node: str) -> set[str]:
    """The plain definition, for one output."""
    found, waiting = set[str](), [node]
    while waiting:
        if (here := waiting.pop()) not in found:
            found.add(here)
            waiting += graph[here]
    return found


@given(graphs(), st.integers(1, 4))
def test_both_agree_with_a_walk_for_each_output(
    case: tuple[Graph, list[str]], at_most: int
) -> None:
    graph, outputs = case
    each = {output: upstream(graph, output) for output in outputs}
    assert needed_by(outputs, graph.__getitem__) == set().union(*each.values())
    expected = {
        node: named[:at_most]
        for node in graph
        if (named := [output for output in outputs if node in each[output]])
    }
    assert reached_from(outputs, graph.__getitem__, at_most) == expected


class Counted(dict[str, list[str]]):
    """A graph that counts how often each node's links are asked for."""

    def __init__(self, links: Graph) -> None:
        super().__init__({name: list(sources) for name, sources in links.items()})
        self.asked: Counter[str] = Counter()

    def sources(self, node: str) -> list[str]:
        self.asked[node] += 1
        return self[node]


def comb(teeth: int) -> Counted:
    """A chain, and as many outputs that all read its end."""
    chain = {str(k): [str(k - 1)] if k else [] for k in range(teeth)}
    return Counted(chain | {f"out {k}": [str(teeth - 1)] for k in range(teeth)})


@pytest.mark.parametrize("teeth", [10, 2500])
def test_a_node_is_looked_at_once_however_many_outputs_need_it(teeth: int) -> None:
    graph = comb(teeth)
    outputs = [node for node in graph if node.startswith("out")]
    assert len(needed_by(outputs, graph.sources)) == 2 * teeth
    assert set(graph.asked.values()) == {1}


@pytest.mark.parametrize("teeth", [10, 2500])
def test_a_node_is_asked_no_more_often_than_outputs_are_listed(teeth: int) -> None:
    graph = comb(teeth)
    outputs = [node for node in graph if node.startswith("out")]
    found = reached_from(outputs, graph.sources, 3)
    assert found["0"] == outputs[:3]
    assert max(graph.asked.values()) <= 3
