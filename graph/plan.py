"""From a checked workflow to segments: runs of neighbouring nodes that one stage does in one call.

INLINE nodes compute descriptions, so they are run right here, before anything is planned; what is
left needs tensors. The plan walks back from the outputs, stops where a result is known, and joins
what is left into segments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Any

from graph.content_keys import Digests
from graph.errors import ServiceError
from graph.made_values import MadeValues
from graph.node import NodeType
from graph.own_words import NamedWords, OwnWords, with_own_words
from graph.problems import Problem, WorkflowInvalidError
from graph.prompt import Source
from graph.sampling import Rows
from graph.segments import base_of, grouped
from graph.stages import Stage
from graph.validation import CheckedWorkflow, with_defaults

RESULT_VERSION = 1  # part of every key: raise it when a node's result changes


@dataclass(frozen=True)
class Step:
    """A node, ready to run: what it was given, and what it will be handed."""

    node_id: str
    class_type: str
    constants: Mapping[str, Any]
    links: Mapping[str, Source]
    key: str
    keep: bool = False  # its result is worth the cache
    part_of: str = ""  # the node of which this does some `rows`, in a segment of its own
    rows: Rows | None = None
    base: str = ""  # the file of the diffusion model that it is handed, where it is handed one
    joins: bool = False  # it is given the parts of its result, and puts them together

    @property
    def told_as(self) -> str:
        """The node that the workflow knows this as."""
        return self.part_of or self.node_id


@dataclass(frozen=True)
class Segment:
    """Steps that one call of a stage runs. `base` is the model file they need, where one does.

    `trace` is the span that the call belongs to, as W3C's `traceparent`; "" where nobody traces.
    `owner` is whose job it is: what a stage remembers of it, it remembers for that owner alone.
    """

    stage: Stage
    steps: tuple[Step, ...]
    gives: frozenset[str]  # ids of the nodes whose results leave the segment
    base: str = ""
    trace: str = ""
    owner: str = ""

    @property
    def is_part(self) -> bool:
        """Whether it does some rows of a batch; others do the rest, at the same time."""
        return any(step.part_of for step in self.steps)

    @property
    def needs(self) -> frozenset[Source]:
        """The results of other segments it is handed."""
        own = {step.node_id for step in self.steps}
        links = chain.from_iterable(step.links.values() for step in self.steps)
        return frozenset(link for link in links if link.node_id not in own)


@dataclass(frozen=True)
class Folded:
    """The steps that are left when everything that is only a description has been computed."""

    steps: Mapping[str, Step]
    stages: Mapping[str, Stage]
    output_ids: tuple[str, ...]
    known: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # what was computed, by node


@dataclass(frozen=True)
class Plan:
    segments: tuple[Segment, ...]
    known: frozenset[str]  # ids of nodes whose results are there already


def fold(checked: CheckedWorkflow, own_words: OwnWords = MappingProxyType({})) -> Folded:
    """Run what needs no tensors, and give every other node its content key.

    `own_words` are the owner's own embeddings, for prompts that name them.

    Raises:
        WorkflowInvalidError: with every node that cannot be computed from what it is given.
    """
    known: dict[str, tuple[Any, ...]] = {}
    keys: dict[str, str] = {}
    first: dict[str, str] = {}  # the node that a key came with first
    twins: dict[str, str] = {}  # of nodes that say the same, only the first is a step
    failed: dict[str, Problem | None] = {}  # None: it needs one that failed
    digests, made, named_words = Digests(), MadeValues(), NamedWords(own_words)
    steps: dict[str, Step] = {}
    for node_id, node in checked.nodes.items():
        if any(link.node_id in failed for link in node.links.values()):
            failed[node_id] = None
            continue
        constants = with_defaults(node)
        links = {
            name: Source(twins.get(link.node_id, link.node_id), link.slot)
            for name, link in node.links.items()
        }
        for name, link in node.links.items():
            if link.node_id in known:
                constants[name] = known[link.node_id][link.slot]
                del links[name]
        if node.node_type.stage == Stage.INLINE and not links and not node.node_type.hidden:
            try:
                known[node_id] = run_inline(node_id, node.node_type, constants, made)
            except WorkflowInvalidError as error:
                failed[node_id] = error.problems[0]
            continue
        constants = with_own_words(constants, own_words, named_words)
        keyed = {name: [keys[link.node_id], link.slot] for name, link in links.items()}
        name = node.node_type.name
        key = digests.key([RESULT_VERSION, name, constants, keyed, node.weights])
        twin = first.setdefault(key, node_id)
        if twin != node_id and not node.node_type.output_node:
            twins[node_id] = twin
            continue
        keys[node_id] = key
        handed = base_of(steps[links["model"].node_id]) if "model" in links else ""
        steps[node_id] = Step(
            node_id, name, constants, links, key, node.node_type.costly, base=handed
        )
    if failed:
        raise WorkflowInvalidError(tuple(filter(None, failed.values())))
    stages = {node_id: checked.nodes[node_id].node_type.stage for node_id in steps}
    outputs = tuple(i for i in checked.output_ids if i in steps)
    return Folded(steps, stages, outputs, known)


def run_inline(
    node_id: str, node_type: NodeType, inputs: Mapping[str, Any], made: MadeValues
) -> tuple[Any, ...]:
    """The outputs of a node that computes only descriptions."""
    try:
        outputs = as_outputs(node_type, node_type.function(**inputs))
        made.count(outputs)
    except ServiceError as error:
        problem = Problem("custom_validation_failed", str(error), node_id, node_type.name)
        raise WorkflowInvalidError((problem,)) from error
    return outputs


def as_outputs(node_type: NodeType, returned: Any) -> tuple[Any, ...]:
    """What a node function returned, by socket."""
    if not node_type.outputs:
        return ()
    return tuple(returned) if len(node_type.outputs) > 1 else (returned,)


def make_plan(folded: Folded, is_known: Callable[[str], bool]) -> Plan:
    """The segments to run, in an order in which they can run.

    Args:
        is_known: whether the result under a content key need not be computed.
    """
    wanted, known = _wanted(folded, is_known)
    steps = [step for name, step in folded.steps.items() if name in wanted]
    groups = grouped(steps, folded.stages)
    read_outside = _read_outside([group for _, group in groups])
    return Plan(
        tuple(
            Segment(
                folded.stages[group[0].node_id],
                tuple(group),
                frozenset(s.node_id for s in group if s.keep or s.node_id in read_outside),
                base,
            )
            for base, group in groups
        ),
        known,
    )


def _wanted(folded: Folded, is_known: Callable[[str], bool]) -> tuple[set[str], frozenset[str]]:
    """What has to run, walking back from the outputs, and the known results it starts from."""
    wanted: set[str] = set()
    known: set[str] = set()
    outputs = frozenset(folded.output_ids)
    waiting = list(folded.output_ids)
    while waiting:
        node_id = waiting.pop()
        if node_id in wanted or node_id in known:
            continue
        step = folded.steps[node_id]
        if node_id not in outputs and is_known(step.key):
            known.add(node_id)
            continue
        wanted.add(node_id)
        waiting += [link.node_id for link in step.links.values()]
    return wanted | _kept_whole(folded, wanted), frozenset(known)


def _kept_whole(folded: Folded, wanted: set[str]) -> set[str]:
    """What is worth the cache when it is joined, though each reader takes a part."""
    return {
        node_id
        for node_id, step in folded.steps.items()
        if step.joins and step.keep and all(link.node_id in wanted for link in step.links.values())
    }


def _read_outside(groups: Sequence[Sequence[Step]]) -> set[str]:
    """The steps whose results a step of another group reads."""
    group_of = {step.node_id: k for k, group in enumerate(groups) for step in group}
    return {
        link.node_id
        for k, group in enumerate(groups)
        for step in group
        for link in step.links.values()
        if group_of.get(link.node_id, k) != k
    }
