"""What an override may mean: as the plain definition says, whatever names nodes have."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from graph.names import InputNames, Target
from graph.prompt import Node, Workflow

NAMES = st.sampled_from(["1", "2", "1:2", "3:1:2", "a/1", "a/b:1", "title", "Kind", ""])
INPUTS = st.sampled_from(["seed", "text", "steps"])


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    ids = draw(st.lists(NAMES.filter(bool), unique=True, min_size=1, max_size=6))
    return Workflow(
        {
            node_id: Node(
                "Kind",
                dict.fromkeys(draw(st.lists(INPUTS, max_size=2)), 0),
                title=draw(NAMES),
                names=tuple(draw(st.lists(NAMES.filter(bool), max_size=2))),
            )
            for node_id in ids
        }
    )


def nodes_called(workflow: Workflow, name: str) -> list[list[str]]:
    """The plain definition: every name of every node is looked at."""
    nodes = workflow.nodes.items()
    titled = [key for key, node in nodes if node.title == name]
    named = [key for key, node in nodes if name in (key, *node.names, node.class_type)]
    exact = [level for level in ([name] if name in workflow.nodes else [], titled, named) if level]
    if exact:
        return exact
    ends = (f":{name}", f"/{name}")
    paths = dict.fromkeys(
        path for key, node in nodes for path in (key, *node.names, "Kind") if path.endswith(ends)
    )
    found = [
        key for path in paths for key, node in nodes if path in (key, *node.names, node.class_type)
    ]
    return [list(dict.fromkeys(found))]


def meanings(workflow: Workflow, name: str, input_name: str) -> list[tuple[Target, ...]]:
    for level in nodes_called(workflow, name):
        having = [key for key in level if input_name in workflow.nodes[key].inputs]
        if having:
            return [((key, input_name),) for key in having]
    return []


@given(workflows(), NAMES.filter(bool), INPUTS)
def test_names_mean_what_the_plain_definition_says(
    workflow: Workflow, name: str, input_name: str
) -> None:
    names = InputNames(workflow, {})
    assert names.nodes(name) == nodes_called(workflow, name)
    assert names.targets(name, input_name) == meanings(workflow, name, input_name)


class Counted(dict[str, Any]):
    """The inputs of a node, counting how often they are listed."""

    listed = 0

    def __iter__(self) -> Any:
        self.listed += 1
        return super().__iter__()


def test_the_inputs_of_a_node_are_listed_once_for_all_its_overrides() -> None:
    inputs = Counted({f"input {k}": 0 for k in range(1000)})
    names = InputNames(Workflow({"1": Node("Kind", inputs)}), {})
    for k in range(1000):
        assert names.targets("1", f"input {k}") == [(("1", f"input {k}"),)]
    assert inputs.listed == 1
