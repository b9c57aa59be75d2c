"""Plans the execution: joins neighbouring nodes of a stage into segments, one call each.

The plan walks back from the outputs, stops where a result is known, and joins what is left into
segments. Of a node that may need more inputs, or give a graph, what follows is planned as if it
gave results; what cannot run then is planned again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from graph.prompt import Source
from graph.sampling import Rows
from graph.segments import grouped
from graph.stages import Stage

if TYPE_CHECKING:
    from graph.folding import Folding

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
    part_of: str = ""  # the node of the workflow that this is told as, where that is another
    part_class: str = ""  # the class of that node
    rows: Rows | None = None
    base: str = ""  # the file of the diffusion model that it is handed, where it is handed one
    joins: bool = False  # it is given the parts of its result, and puts them together
    waiting: Mapping[str, Source] = field(default_factory=dict)  # lazy inputs nobody asked for yet
    may_expand: bool = False  # it may give a graph instead of results

    @property
    def reported_id(self) -> str:
        """The workflow's node that events, timings and errors of this step name."""
        return self.part_of or self.node_id

    @property
    def reported_class(self) -> str:
        """The class of that node."""
        return self.part_class or self.class_type

    @property
    def settled(self) -> bool:
        """Whether it gives results when it runs, whatever they are."""
        return not self.waiting and not self.may_expand


@dataclass(frozen=True)
class Segment:
    """Steps that one call runs. `base` is the model file they need, where one does.

    `stage` is theirs, or the name of the deployment that runs theirs and others.

    `trace` is the span that the call belongs to, as W3C's `traceparent`; "" where nobody traces.
    `owner` is whose job it is: what a stage remembers of it, it remembers for that owner alone.
    """

    stage: Stage
    steps: tuple[Step, ...]
    gives: frozenset[str]  # ids of the nodes whose results leave the segment
    base: str = ""
    trace: str = ""
    owner: str = ""
    encoding: Any = None  # how its files are written (storage/pictures.py, Encoding)
    hidden_values: Mapping[str, Any] = field(
        default_factory=dict
    )  # of the job, by Hidden, for nodes of it

    @property
    def is_part(self) -> bool:
        """Whether it does some rows of a batch; others do the rest, at the same time."""
        return any(step.rows for step in self.steps)

    @property
    def needs(self) -> frozenset[Source]:
        """The results of other segments it is handed."""
        own = {step.node_id for step in self.steps}
        links = chain.from_iterable(step.links.values() for step in self.steps)
        return frozenset(link for link in links if link.node_id not in own)


@dataclass(frozen=True)
class ExecutionGraph:
    """The steps of a workflow that need a stage, after constant folding."""

    steps: Mapping[str, Step]
    stages: Mapping[str, Stage]
    output_ids: tuple[str, ...]
    known: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # what was computed, by node
    wanted: tuple[str, ...] = ()  # steps that are needed too, unless their results are known
    folding: "Folding | None" = field(default=None, compare=False, repr=False)

    def live(self, step: Step) -> Step:
        """A step as it reads now, what it is linked to having expanded since."""
        return self.folding.live(step) if self.folding else step

    @property
    def settled(self) -> bool:
        """Whether no step can change what has to run."""
        return all(step.settled for step in self.steps.values())


@dataclass(frozen=True)
class Plan:
    segments: tuple[Segment, ...]
    known: frozenset[str]  # ids of nodes whose results are there already


def make_plan(
    folded: ExecutionGraph,
    is_known: Callable[[str], bool],
    hosts: Mapping[Stage, Stage] = MappingProxyType({}),
) -> Plan:
    """The segments to run, in an order in which they can run.

    Args:
        is_known: whether the result under a content key need not be computed.
        hosts: what runs the stages that share a deployment; see graph/segments.py.
    """
    wanted, known = _wanted(folded, is_known)
    steps = in_order([folded.live(s) for name, s in folded.steps.items() if name in wanted])
    groups = grouped(steps, folded.stages, hosts)
    leaving = _read_outside([group.steps for group in groups]) | _read_later(steps)
    return Plan(
        tuple(
            Segment(
                group.host,
                tuple(group.steps),
                frozenset(s.node_id for s in group.steps if s.keep or s.node_id in leaving),
                group.base,
            )
            for group in groups
        ),
        known,
    )


def _wanted(
    folded: ExecutionGraph, is_known: Callable[[str], bool]
) -> tuple[set[str], frozenset[str]]:
    """What has to run, walking back from the outputs, and the known results it starts from."""
    wanted: set[str] = set()
    known: set[str] = set()
    outputs = frozenset(folded.output_ids)
    waiting = [*folded.output_ids, *folded.wanted]
    while waiting:
        node_id = waiting.pop()
        if node_id in wanted or node_id in known:
            continue
        if node_id not in folded.steps:  # it came with an expansion, and is there
            continue
        step = folded.live(folded.steps[node_id])
        if node_id not in outputs and is_known(step.key):
            known.add(node_id)
            continue
        wanted.add(node_id)
        waiting += [link.node_id for link in step.links.values()]
    return wanted | _kept_whole(folded, wanted), frozenset(known)


def _kept_whole(folded: ExecutionGraph, wanted: set[str]) -> set[str]:
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


def _read_later(steps: Sequence[Step]) -> set[str]:
    """The steps whose results may be read when this plan has run: by what had to be left out."""
    return set() if all(step.settled for step in steps) else {step.node_id for step in steps}


def in_order(steps: Sequence[Step]) -> list[Step]:
    """`steps`, each after those that it reads; as they are where they are so already."""
    seen: set[str] = set()
    names = {step.node_id for step in steps}
    for step in steps:
        if any(link.node_id in names - seen for link in step.links.values()):
            break
        seen.add(step.node_id)
    else:
        return list(steps)
    by_name = {step.node_id: step for step in steps}
    links = {
        step.node_id: [link.node_id for link in step.links.values() if link.node_id in names]
        for step in steps
    }
    return [by_name[name] for name in TopologicalSorter(links).static_order()]
