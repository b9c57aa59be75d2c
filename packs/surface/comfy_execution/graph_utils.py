"""GraphBuilder: makes the graph that a node gives in place of results."""

from typing import Any


def is_link(obj: object) -> bool:
    """Whether a value is a link, [node id, slot]."""
    if not isinstance(obj, list) or len(obj) != 2:
        return False
    return isinstance(obj[0], str) and type(obj[1]) in {int, float}


class Node:
    """A node of a graph that is being built."""

    def __init__(self, id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id = id
        self.class_type = class_type
        self.inputs = inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Any]:
        """A link to one of its outputs."""
        return [self.id, index]

    def set_input(self, key: str, value: Any) -> None:
        """Set an input; None takes it away."""
        if value is None:
            self.inputs.pop(key, None)
        else:
            self.inputs[key] = value

    def get_input(self, key: str) -> Any:
        return self.inputs.get(key)

    def set_override_display_id(self, override_display_id: str) -> None:
        """Let events name another node of the workflow."""
        self.override_display_id = override_display_id

    def serialize(self) -> dict[str, Any]:
        said: dict[str, Any] = {"class_type": self.class_type, "inputs": self.inputs}
        if self.override_display_id is not None:
            said["override_display_id"] = self.override_display_id
        return said


class GraphBuilder:
    """A graph of nodes with ids of their own: a prefix, which calls set, and a number or name."""

    _default_prefix_root = ""
    _default_prefix_call_index = 0
    _default_prefix_graph_index = 0

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = GraphBuilder.alloc_prefix() if prefix is None else prefix
        self.nodes: dict[str, Node] = {}
        self.id_gen = 1

    @classmethod
    def set_default_prefix(cls, prefix_root: str, call_index: int, graph_index: int = 0) -> None:
        """What ids begin with from here on."""
        cls._default_prefix_root = prefix_root
        cls._default_prefix_call_index = call_index
        cls._default_prefix_graph_index = graph_index

    @classmethod
    def alloc_prefix(
        cls,
        root: str | None = None,
        call_index: int | None = None,
        graph_index: int | None = None,
    ) -> str:
        """A prefix that no other graph has."""
        root = cls._default_prefix_root if root is None else root
        call = cls._default_prefix_call_index if call_index is None else call_index
        graph = cls._default_prefix_graph_index if graph_index is None else graph_index
        cls._default_prefix_graph_index += 1
        return f"{root}.{call}.{graph}."

    def node(self, class_type: str, id: str | None = None, **kwargs: Any) -> Node:
        """A node of the graph: a new one, or the one that has this id."""
        if id is None:
            id, self.id_gen = str(self.id_gen), self.id_gen + 1
        name = self.prefix + id
        if name not in self.nodes:
            self.nodes[name] = Node(name, class_type, kwargs)
        return self.nodes[name]

    def lookup_node(self, id: str) -> Node | None:
        return self.nodes.get(self.prefix + id)

    def finalize(self) -> dict[str, Any]:
        """The graph, for `expand`."""
        return {name: node.serialize() for name, node in self.nodes.items()}

    def replace_node_output(self, node_id: str, index: int, new_value: Any) -> None:
        """Let what reads an output read something else; None takes the input away."""
        old = [self.prefix + node_id, index]
        for node in self.nodes.values():
            for key, value in list(node.inputs.items()):
                if is_link(value) and value == old:
                    node.set_input(key, new_value)

    def remove_node(self, id: str) -> None:
        del self.nodes[self.prefix + id]


def add_graph_prefix(
    graph: dict[str, Any], outputs: Any, prefix: str
) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """A graph and its outputs with a prefix before each id."""

    def named(value: Any) -> Any:
        return [prefix + value[0], value[1]] if is_link(value) else value

    found = {
        prefix + name: {
            "class_type": node["class_type"],
            "inputs": {key: named(value) for key, value in node.get("inputs", {}).items()},
        }
        for name, node in graph.items()
    }
    return found, tuple(map(named, outputs))
