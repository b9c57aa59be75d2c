"""Constant folding: runs nodes that need no tensors, and gives all others their content key.

INLINE nodes compute descriptions, so they run before anything is planned. A node that gives a graph
instead of results is replaced by the nodes of that graph, here or while the job runs.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from graph.aliases import Aliases
from graph.cache import Handle, Outputs
from graph.checked import CheckedNode, CheckedWorkflow, with_defaults
from graph.content_keys import Digests
from graph.dependencies import needed_by
from graph.dynamic_inputs import layout
from graph.errors import NodeFailed
from graph.expansions import ITSELF, Shown, grown, in_order
from graph.inline_run import reason_of, run_inline
from graph.made_values import MadeValues
from graph.node import NodeType
from graph.plan import RESULT_VERSION, ExecutionGraph, Step
from graph.private_embeddings import NamedEmbeddings, PrivateEmbeddings, with_private_embeddings
from graph.problems import Problem, WorkflowInvalidError
from graph.prompt import Node, Source
from graph.results import Expansion, Outcome, item_calls, merged
from graph.segments import base_of
from graph.stages import Stage

NodeTypes: TypeAlias = Mapping[str, NodeType]
MOST_EXPANDED = 10_000  # nodes that a job may add to its workflow while it runs
ITEMS = "comfyray.Items"  # puts several values on one link, see graph/nodes/internal.py


def fold(
    checked: CheckedWorkflow,
    private_embeddings: PrivateEmbeddings = MappingProxyType({}),
    node_types: NodeTypes = MappingProxyType({}),
    fingerprints: Mapping[str, Any] = MappingProxyType({}),
    *,
    most_expanded: int = MOST_EXPANDED,
) -> ExecutionGraph:
    """Run what needs no tensors, and give every other node its content key.

    `private_embeddings` are those that the owner uploaded, for prompts that name them.
    `node_types` are those that nodes may expand to, `most_expanded` nodes at most. `fingerprints`
    are what `changed` hooks say, by node id.

    Raises:
        WorkflowInvalidError: with every node that cannot be computed from what it is given.
    """
    folding = Folding(node_types, private_embeddings, most_expanded)
    for node_id, node in checked.nodes.items():
        folding.add(node_id, node, fingerprints.get(node_id))
    return folding.folded(checked.output_ids)


@dataclass(frozen=True)
class _Inputs:
    """What a step is given: values, links, and links of which it may not need what they lead to."""

    constants: dict[str, Any]
    links: dict[str, Source]
    lazy: dict[str, Source]
    fingerprint: Any


@dataclass(frozen=True)
class Ended:
    """A node that expanded: it has its results when those that it named have theirs."""

    step: Step
    outputs: tuple[Source, ...]


@dataclass
class Folding:
    """The steps of a workflow so far, and all that is needed to add to them."""

    node_types: NodeTypes
    private_embeddings: PrivateEmbeddings
    most_expanded: int = MOST_EXPANDED
    steps: dict[str, Step] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    aliases: Aliases = field(default_factory=Aliases)
    extra_outputs: list[str] = field(default_factory=list)  # output nodes of expansions
    wanted: list[str] = field(default_factory=list)  # what output nodes expanded to
    ended: dict[str, Ended] = field(default_factory=dict)  # nodes that expanded, until they end
    _known: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _failed: dict[str, Problem] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _first: dict[str, str] = field(default_factory=dict)  # the node that a key came with first
    _twins: dict[str, str] = field(default_factory=dict)  # that say the same as an earlier one
    _digests: Digests = field(default_factory=Digests)
    _made: MadeValues = field(default_factory=MadeValues)
    _named_embeddings: NamedEmbeddings = field(init=False)
    _expanded: int = 0
    _shown: dict[str, Shown] = field(default_factory=dict)  # nodes of expansions, as what

    def __post_init__(self) -> None:
        self._named_embeddings = NamedEmbeddings(self.private_embeddings)

    def folded(self, output_ids: Iterable[str]) -> ExecutionGraph:
        """What is left to run.

        Raises:
            WorkflowInvalidError: an output needs a node that cannot be computed.
        """
        outputs = tuple(i for i in (*output_ids, *self.extra_outputs) if i in self.steps)
        folded = ExecutionGraph(
            dict(self.steps), self.stages, outputs, self._known, tuple(self.wanted), self
        )
        if self._failed:
            needed = needed_by((*outputs, *folded.wanted), self._sources)
            if found := tuple(p for i, p in self._failed.items() if i in needed):
                raise WorkflowInvalidError(found)
        return folded

    def _sources(self, node_id: str) -> Iterable[str]:
        links = self.steps[node_id].links.values() if node_id in self.steps else ()
        return [self.aliases.of(link).node_id for link in links]

    def add(
        self, node_id: str, node: CheckedNode, fingerprint: Any = None, shown: Shown = ITSELF
    ) -> None:
        """Run a node here, or make it a step. What it reads has been added before it."""
        node_type = node.node_type
        constants, links = with_defaults(node), {}
        for name, link in node.links.items():
            source = self._seen(link)
            if name in node.raw_links or (node_type.rewrites and source.node_id not in self._known):
                constants[name] = source
            elif source.node_id in self._known:
                constants[name] = self._known[source.node_id][source.slot]
            else:
                links[name] = source
        lazy = {name: links[name] for name in links if name in node.lazy_inputs}
        if lazy and lazy.keys() == links.keys():
            needed = self._needed(node_type, constants, lazy)
            if needed is not None:
                links, lazy = {name: lazy[name] for name in lazy if name in needed}, {}
                constants |= dict.fromkeys(node.links.keys() - links.keys() - constants.keys())
        live = {name: link for name, link in links.items() if name not in lazy}
        if node_type.stage == Stage.INLINE and not links and not _has_hidden_inputs(node_type):
            try:
                results, mapped = run_inline(node_type, constants, self._made)
            except Exception as error:  # noqa: BLE001 - told as a problem of the workflow
                said, name = reason_of(node_id, node_type, error), node_type.name
                self._failed[node_id] = Problem("custom_validation_failed", said, node_id, name)
            else:
                if not any(isinstance(result, Expansion) for result in results):
                    outputs = cast(tuple[tuple[Any, ...], ...], results)
                    self._known[node_id] = merged(len(node_type.outputs), outputs, mapped=mapped)
                    return
                key = self._digests.key([RESULT_VERSION, node_type.name, node_id])
                self.expand(node_id, node_type, results, key, mapped=mapped, shown=shown)
                return
        step = self._step(node_id, node, _Inputs(constants, live, lazy, fingerprint))
        if step is not None:
            self.steps[node_id] = replace(step, part_of=shown.node_id, part_class=shown.class_type)
            self.stages[node_id] = node_type.stage

    def _step(
        self,
        node_id: str,
        node: CheckedNode,
        inputs: "_Inputs",
    ) -> Step | None:
        """The step of a node; None where an earlier one is the same."""
        node_type = node.node_type
        constants = with_private_embeddings(
            inputs.constants, self.private_embeddings, self._named_embeddings
        )
        links, lazy = inputs.links, inputs.lazy
        said = {
            name: [self._keys[link.node_id], link.slot] for name, link in (links | lazy).items()
        }
        raw = {name: self._raw_key(constants[name]) for name in node.raw_links}
        parts: list[Any] = [RESULT_VERSION, node_type.name, constants | raw, said, node.weights]
        if inputs.fingerprint is not None:
            parts.append(["changed", inputs.fingerprint])
        if node_type.per_node:
            parts.append(["node", node_id])
        key = self._digests.key(parts)
        twin = self._first.setdefault(key, node_id)
        self._keys[node_id] = key
        if twin != node_id and not node_type.output_node:
            self._twins[node_id] = twin
            return None
        handed = ""
        if "model" in links and links["model"].node_id in self.steps:
            handed = base_of(self.steps[links["model"].node_id])
        return Step(
            node_id,
            node_type.name,
            constants,
            links,
            key,
            node_type.costly,
            base=handed,
            waiting=lazy,
            may_expand=node_type.expands,
        )

    def _seen(self, link: Source) -> Source:
        """The output that a link leads to, past twins and nodes that expanded."""
        link = self.aliases.of(link)
        return Source(self._twins.get(link.node_id, link.node_id), link.slot)

    def _raw_key(self, link: Any) -> Any:
        if not isinstance(link, Source):
            return link
        known = self._known.get(link.node_id)
        return [self._keys[link.node_id], link.slot] if known is None else ["", known[link.slot]]

    def _needed(
        self, node_type: NodeType, constants: Mapping[str, Any], lazy: Mapping[str, Source]
    ) -> frozenset[str] | None:
        """Which lazy inputs a node needs, where it can be told before anything runs."""
        hook = node_type.hooks.lazy
        if hook is None or inspect.iscoroutinefunction(hook):
            return None
        named: set[Any] = set()
        for call in item_calls(node_type, {**constants, **dict.fromkeys(lazy)})[0]:
            try:
                said = hook(call)
            except Exception:  # noqa: BLE001 - it is asked again when the node runs, and told there
                return None
            if inspect.isawaitable(said):
                said.close() if inspect.iscoroutine(said) else None
                return None
            named |= set(said or ())
        return frozenset(named & lazy.keys())

    @property
    def given(self) -> Mapping[str, Handle]:
        """Results that came with expansions, by the ids of steps that need not run."""
        return self.aliases.given

    def outputs_of(self, ended: Ended, own: Mapping[str, Outputs]) -> Outputs | None:
        """The results of a node that expanded, from those by key; None while some are missing."""
        found: list[Handle] = []
        for source in map(self._seen, ended.outputs):
            if source.node_id in self._known:
                found.append(Handle(self._known[source.node_id][source.slot]))
            elif source.node_id in self.given:
                found.append(self.given[source.node_id])
            else:
                step = self.steps.get(source.node_id)
                if step is None or step.key not in own:
                    return None
                found.append(own[step.key][source.slot])
        return tuple(found)

    def live(self, step: Step) -> Step:
        """A step as it reads now: past nodes that expanded since it was made."""
        if not self.aliases:
            return step
        constants, links = dict(step.constants), {}
        for name, link in step.links.items():
            source = self._seen(link)
            if source.node_id in self._known:
                constants[name] = self._known[source.node_id][source.slot]
            else:
                links[name] = source
        return step if links == step.links else replace(step, constants=constants, links=links)

    def ask(self, node_id: str, names: Iterable[str]) -> None:
        """Let a step wait for lazy inputs no more: they are computed for it."""
        step = self.steps[node_id]
        asked = {name: step.waiting[name] for name in names}
        left = {name: link for name, link in step.waiting.items() if name not in asked}
        self.steps[node_id] = replace(step, links={**step.links, **asked}, waiting=left)

    def expand(
        self,
        node_id: str,
        node_type: NodeType,
        calls: tuple[Outcome, ...],
        key: str,
        *,
        mapped: bool,
        shown: Shown = ITSELF,
        fingerprints: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Put graphs in the place of a node; what reads it reads their results.

        Raises:
            NodeFailed: a graph that cannot be: of ids that are there, unknown classes, in a circle.
        """
        shown = shown if shown.node_id else Shown(node_id, node_type.name)
        slots: list[list[Source]] = [[] for _ in node_type.outputs]
        for index, call in enumerate(calls):
            if isinstance(call, Expansion):
                graph = grown(node_id, index, call)
                self._check(graph, shown)
                self._add_graph(node_id, graph, key, shown, fingerprints)
                outputs = graph.outputs
            else:
                outputs = call
            for slot, value in enumerate(outputs):
                self._collect(slots[slot], value, f"{node_id}.{index}.{slot}", [key, index, slot])
        for slot, sources in enumerate(slots):
            source = self._gather(node_id, slot, sources) if mapped else self._seen(sources[0])
            if source == Source(node_id, slot):
                raise NodeFailed(shown.node_id, shown.class_type, "it expands to itself")
            self.aliases.add(Source(node_id, slot), source)
        self._keys.setdefault(node_id, key)
        self._retire(node_id, node_type)

    def _retire(self, node_id: str, node_type: NodeType) -> None:
        """The node that expanded runs no more; what it named is worth keeping until it ends."""
        outputs = [self._seen(Source(node_id, slot)) for slot in range(len(node_type.outputs))]
        for source in outputs:
            if source.node_id in self.steps:
                self.steps[source.node_id] = replace(self.steps[source.node_id], keep=True)
        if node_type.output_node:
            self.wanted += [source.node_id for source in outputs if source.node_id in self.steps]
        if (step := self.steps.pop(node_id, None)) is not None:
            self.ended[node_id] = Ended(step, tuple(outputs))

    def _check(self, graph: Expansion, shown: Shown) -> None:
        self._expanded += len(graph.nodes)
        for new_id, node in graph.nodes.items():
            problem = ""
            if new_id in self.steps or new_id in self._known or new_id in self._keys:
                problem = f"it expands to a node {new_id!r}, which is there already"
            elif node.class_type not in self.node_types:
                problem = f"it expands to a node of type {node.class_type!r}, which is not here"
            elif self._expanded > self.most_expanded:
                problem = f"nodes expanded to more than {self.most_expanded} others"
            if problem:
                raise NodeFailed(shown.node_id, shown.class_type, problem)

    def _add_graph(
        self,
        node_id: str,
        graph: Expansion,
        key: str,
        shown: Shown,
        fingerprints: Mapping[str, Any],
    ) -> None:
        for new_id in in_order(node_id, graph, shown):
            node = self._checked(new_id, graph.nodes[new_id], key)
            display = graph.shown_as.get(new_id, shown.node_id)
            as_node = shown if display == shown.node_id else Shown(display, node.node_type.name)
            as_node = self._shown[new_id] = self._shown.get(display, as_node)
            self.add(new_id, node, fingerprints.get(new_id), as_node)
            if node.node_type.output_node:
                self.extra_outputs.append(new_id)

    def _checked(self, node_id: str, node: Node, key: str) -> CheckedNode:
        """A node of an expansion. Its inputs are the expanding node's word: nothing is refused."""
        node_type = self.node_types[node.class_type]
        declared = layout(node_type.inputs, node.inputs).inputs
        constants, links, raw = {}, {}, set()
        for name, value in node.inputs.items():
            known = name in declared or node_type.open_inputs
            if isinstance(value, Source) and (known or node_type.open_links):
                links[name] = value
                if name in declared and declared[name].raw_link:
                    raw.add(name)
            elif isinstance(value, Handle) and known:
                links[name] = self._given(f"{node_id}.{name}", value, [key, node_id, name])
            elif known:
                constants[name] = value
        return CheckedNode(node_type, constants, links, raw_links=frozenset(raw))

    def _given(self, node_id: str, value: Handle, said: list[Any]) -> Source:
        """A value that came with an expansion, as the result of a step that is done."""
        self.aliases.given[node_id] = value
        self._keys[node_id] = self._digests.key(said)
        return Source(node_id, 0)

    def _collect(self, sources: list[Source], value: Any, name: str, said: list[Any]) -> None:
        if isinstance(value, Source):
            sources.append(self._seen(value))
        elif isinstance(value, Handle):
            sources.append(self._given(name, value, said))
        else:
            self._known[name] = (value,)
            sources.append(Source(name, 0))

    def _gather(self, node_id: str, slot: int, sources: list[Source]) -> Source:
        """Several values on one link."""
        own = f"{node_id} items {slot}"
        links = {f"item{k}": source for k, source in enumerate(sources)}
        self.add(own, CheckedNode(self.node_types[ITEMS], {}, links), shown=Shown(node_id, ITEMS))
        return self._seen(Source(own, 0))


def _has_hidden_inputs(node_type: NodeType) -> bool:
    """Whether a node is told something of the job, which is not known before it runs."""
    return bool(node_type.hidden)
