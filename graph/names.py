"""The names a workflow's inputs go by, for whoever wants to set one."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from graph.prompt import Handle, Node, Workflow
from graph.ui.widgets import SEED_NAMES, node_inputs

Target = tuple[str, str]  # id of a node, input


class InputNames:
    """Finds inputs by what a caller calls their node; built once for a workflow.

    Names count in this order: id; title; stored path, "Node name for S&R", path of titles, class;
    then, for what is none of these, any tail of a path. The first that has the input decides.
    """

    def __init__(self, workflow: Workflow, node_types: Mapping[str, Any]) -> None:
        self._workflow = workflow
        kinds = {node.class_type for node in workflow.nodes.values()}
        self._facts = {kind: node_types[kind] for kind in kinds if kind in node_types}
        self._by_title: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        entries: dict[str, Node | Handle] = {**workflow.handles, **workflow.nodes}
        for key, entry in entries.items():
            self._by_title[entry.title].append(key)
            kind = (entry.class_type,) if isinstance(entry, Node) else ()
            for name in (key, *entry.names, *kind):
                self._by_name[name].append(key)

    def nodes(self, name: str) -> list[list[str]]:
        """Ids of the nodes and handles called `name`, by rising leniency."""
        known = name in self._workflow.nodes or name in self._workflow.handles
        titled, named = self._by_title.get(name, []), self._by_name.get(name, [])
        exact = [[name] if known else [], titled, named]
        found = [list(dict.fromkeys(level)) for level in exact if level]
        return found or [self._by_tail(name)]

    def _by_tail(self, name: str) -> list[str]:
        """Ids of what a path ending in `name` leads to: "3" and "9:3" end "4:9:3"."""
        tails = (f":{name}", f"/{name}")
        paths = (keys for path, keys in self._by_name.items() if path.endswith(tails))
        return list(dict.fromkeys(key for keys in paths for key in keys))

    def known(self, name: str) -> bool:
        """Whether any node or handle is called `name`."""
        return any(self.nodes(name))

    def targets(self, node: str, name: str) -> list[tuple[Target, ...]]:
        """What setting `name` of the node called `node` may mean; two entries are two meanings."""
        for level in self.nodes(node):
            meanings = dict.fromkeys(filter(None, (self.inputs(key, name) for key in level)))
            if meanings:
                return list(meanings)
        return []

    def inputs(self, key: str, name: str) -> tuple[Target, ...]:
        """The inputs that take a value given to `name` of a node or handle; none if it has none."""
        handle = self._workflow.handles.get(key)
        if handle is not None:
            return handle.inputs.get(name, ())
        return ((key, name),) if name in self.input_names(key) else ()

    def input_names(self, key: str) -> list[str]:
        """The inputs that a node or handle has in the workflow, or may have by its type."""
        if key in self._workflow.handles:
            return list(self._workflow.handles[key].inputs)
        node = self._workflow.nodes[key]
        declared = (name for name, _, _ in self.facts(key))
        return list(dict.fromkeys([*node.inputs, *declared]))

    def facts(self, key: str) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
        """Name, type and options of each input of a node's type."""
        facts = self._facts.get(self._workflow.nodes[key].class_type)
        return node_inputs(facts) if isinstance(facts, Mapping) else iter(())

    def all_nodes(self) -> list[str]:
        """Every name of every node."""
        return [name for name in {**self._by_title, **self._by_name} if name]

    def seed_range(self, target: Target) -> tuple[int, int] | None:
        """Least and greatest value of an input that is a seed; None if it is not one."""
        key, name = target
        options = next((o for n, kind, o in self.facts(key) if n == name and kind == "INT"), None)
        if options is None:
            unknown = self._workflow.nodes[key].class_type not in self._facts
            return (0, 2**32 - 1) if unknown and name in SEED_NAMES else None
        if name not in SEED_NAMES and not options.get("control_after_generate"):
            return None
        return _bound(options.get("min"), 0), _bound(options.get("max"), 2**64 - 1)


def _bound(value: object, default: int) -> int:
    return int(value) if isinstance(value, int | float) else default
