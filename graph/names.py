"""The names by which a caller may set the inputs of a workflow."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from graph.prompt import Handle, Node, Workflow
from graph.ui.widgets import SEED_NAMES, node_inputs

Target = tuple[str, str]  # id of a node, input
_Meanings = dict[str, dict[tuple[Target, ...], None]]  # by the name of an input


class _Endings:
    """Texts by how they end: read backwards and sorted, those of one ending stand together."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._sorted = sorted((text[::-1], place) for place, text in enumerate(texts))

    def ending(self, ending: str) -> Iterator[int]:
        """The places of the texts that end so."""
        backwards = ending[::-1]
        for k in range(bisect_left(self._sorted, (backwards,)), len(self._sorted)):
            text, place = self._sorted[k]
            if not text.startswith(backwards):
                return
            yield place


class InputNames:
    """Finds inputs by what a caller calls their node; built once for a workflow.

    Names count in this order: id; title; stored path, "Node name for S&R", path of titles, class;
    then, for what is none of these, any tail of a path. The first that has the input decides.
    """

    def __init__(self, workflow: Workflow, node_types: Mapping[str, Any]) -> None:
        self._workflow = workflow
        self._levels: dict[str, list[list[str]]] = {}
        self._meanings: dict[tuple[str, int], _Meanings] = {}
        self._inputs: dict[str, dict[str, None]] = {}
        self._declared: dict[str, list[tuple[str, Any, Mapping[str, Any]]]] = {}  # by node type
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
        self._paths = list(self._by_name)

    def nodes(self, name: str) -> list[list[str]]:
        """Ids of the nodes and handles called `name`, by rising leniency."""
        if name not in self._levels:
            self._levels[name] = self._find(name)
        return self._levels[name]

    def _find(self, name: str) -> list[list[str]]:
        known = name in self._workflow.nodes or name in self._workflow.handles
        titled, named = self._by_title.get(name, []), self._by_name.get(name, [])
        exact = [[name] if known else [], titled, named]
        found = [list(dict.fromkeys(level)) for level in exact if level]
        return found or [self._by_tail(name)]

    def _by_tail(self, name: str) -> list[str]:
        """Ids of what a path ending in `name` leads to: "3" and "9:3" end "4:9:3"."""
        places = sorted(
            place for mark in (":", "/") for place in self._backwards.ending(f"{mark}{name}")
        )
        keys = (key for place in places for key in self._by_name[self._paths[place]])
        return list(dict.fromkeys(keys))

    @cached_property
    def _backwards(self) -> "_Endings":
        return _Endings(self._paths)

    def known(self, name: str) -> bool:
        """Whether any node or handle is called `name`."""
        return any(self.nodes(name))

    def targets(self, node: str, name: str) -> list[tuple[Target, ...]]:
        """What setting `name` of the node called `node` may mean; two entries are two meanings."""
        for place, level in enumerate(self.nodes(node)):
            if len(level) == 1:
                found = [self.inputs(level[0], name)]
            else:
                found = list(self._meanings_of(node, place).get(name, ()))
            if found := [targets for targets in found if targets]:
                return found
        return []

    def _meanings_of(self, node: str, place: int) -> "_Meanings":
        """What each input means to one level of nodes; made once for all overrides of theirs."""
        if (node, place) not in self._meanings:
            meanings: _Meanings = defaultdict(dict)
            for key in self.nodes(node)[place]:
                for name in self.input_names(key):
                    meanings[name][self.inputs(key, name)] = None
            self._meanings[node, place] = meanings
        return self._meanings[node, place]

    def inputs(self, key: str, name: str) -> tuple[Target, ...]:
        """The inputs that take a value given to `name` of a node or handle; none if it has none."""
        handle = self._workflow.handles.get(key)
        if handle is not None:
            return handle.inputs.get(name, ())
        return ((key, name),) if name in self.input_names(key) else ()

    def input_names(self, key: str) -> Collection[str]:
        """The inputs that a node or handle has in the workflow, or may have by its type."""
        if key in self._workflow.handles:
            return self._workflow.handles[key].inputs.keys()
        if key not in self._inputs:
            declared = (name for name, _, _ in self.facts(key))
            self._inputs[key] = dict.fromkeys([*self._workflow.nodes[key].inputs, *declared])
        return self._inputs[key].keys()

    def facts(self, key: str) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
        """Name, type and options of each input of a node's type."""
        kind = self._workflow.nodes[key].class_type
        if kind not in self._declared:
            facts = self._facts.get(kind)
            self._declared[kind] = list(node_inputs(facts)) if isinstance(facts, Mapping) else []
        return iter(self._declared[kind])

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
