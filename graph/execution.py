"""Running a plan: segments that do not depend on each other at the same time, equal work once.

A plan is run as far as it goes. A node that asked for more inputs, or gave a graph, changes what
there is to run, and the rest is planned again; a workflow without such nodes has one plan.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from graph.cache import Handle, Outputs, PromiseBrokenError, ResultCache, ResultLostError
from graph.events import (
    Blocked,
    Displayed,
    Done,
    Expanded,
    Needs,
    Progress,
    Said,
    Sent,
    Started,
    StepEvent,
    Warned,
)
from graph.expanding import expand
from graph.part_reports import PartReports
from graph.plan import ExecutionGraph, Plan, Segment, Step, make_plan
from graph.prompt import Source
from graph.segment_run import first_cause
from graph.stages import Stage

Results: TypeAlias = "dict[str, asyncio.Future[Outputs | None]]"  # None: not in this plan
ReportedEvent: TypeAlias = (
    "Started | Progress | Warned | Blocked | Said | Sent | Displayed | NodeTiming"
)


class Stages(Protocol):
    """The stages as this process reaches them."""

    def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment. The outputs in `Done` are Handles.

        Raises:
            ResultLostError: one of `inputs`, or the replica at work, is gone.
        """


@dataclass(frozen=True)
class NodeTiming:
    """When a node ran, in seconds since its job began. A cached node took none."""

    node_id: str
    class_type: str
    stage: str
    start_s: float
    end_s: float
    cached: bool = False


@dataclass
class Execution:
    """One job's way through its plans."""

    owner: str
    folded: ExecutionGraph
    stages: Stages
    cache: ResultCache
    report: Callable[[ReportedEvent], None]
    job: int = 0
    most_attempts: int = 3
    hosts: Mapping[Stage, Stage] = field(default_factory=dict)  # see graph/segments.py
    saved: frozenset[str] = frozenset()  # output nodes that need not run
    tells_all: bool = False  # of nodes that need not run also those that only such nodes read
    timings: dict[str, NodeTiming] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _parts: PartReports = field(default_factory=PartReports)
    _finished: set[str] = field(default_factory=set)  # output nodes: run once, whatever is repeated
    _own: dict[str, Outputs] = field(default_factory=dict)  # by key: what later plans may read
    _changes: list[Needs | Expanded] = field(default_factory=list)
    _trusts: bool = True  # waits for what other jobs compute

    async def run(self) -> tuple[NodeTiming, ...]:
        """Run every output node.

        When a result that was counted on is lost (its replica died, or the job computing it
        failed), what is still missing is planned and run again, a bounded number of times.
        """
        lost = 0
        self._finished |= self.saved
        while True:
            plan = make_plan(self._unfinished(), self._is_known, self.hosts)
            try:
                await self._run_plan(plan)
            except PromiseBrokenError:  # two jobs may wait for each other's promises, not twice
                self._trusts = False
            except ResultLostError:
                lost += 1
                if lost == self.most_attempts:
                    raise
            else:
                if not self._changes:
                    break
            await self._change()
        self._tell_warnings()
        return tuple(self.timings.values())

    def _is_known(self, key: str) -> bool:
        known = self.cache.__contains__ if self._trusts else self.cache.has
        return key in self._own or known((self.owner, key))

    def _unfinished(self) -> ExecutionGraph:
        left = tuple(i for i in self.folded.output_ids if i not in self._finished)
        return replace(self.folded, output_ids=left)

    async def _change(self) -> None:
        """Let what nodes asked for, or gave instead of results, be part of what there is to run."""
        changes, self._changes = self._changes, []
        folding = self.folded.folding
        if not changes or folding is None:
            return
        for change in changes:
            if isinstance(change, Needs):
                folding.ask(change.node_id, change.inputs)
            else:
                await expand(folding, change)
        self.folded = folding.folded(self.folded.output_ids)

    async def _run_plan(self, plan: Plan) -> None:
        self._parts.expect(plan)
        for node_id in sorted(self._cached(plan)):
            self._tell_cached(node_id)
        results: Results = {}
        for segment in plan.segments:
            for node_id in segment.gives:
                self.cache.promise(self._key(node_id))
                results[node_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as group:
                for segment in plan.segments:
                    group.create_task(self._run_segment(segment, results))
        except BaseExceptionGroup as errors:
            raise first_cause(errors) from errors
        finally:
            for node_id, result in results.items():
                if not result.done():
                    result.cancel()
                if result.cancelled() or result.result() is None:
                    self.cache.withdraw(self._key(node_id))
        self._end_expanded()

    async def _run_segment(self, segment: Segment, results: Results) -> None:
        inputs = {}
        for link in segment.needs:
            outputs = await self._outputs(link.node_id, results)
            if outputs is None:
                self._leave(segment, results)
                return
            inputs[link] = outputs[link.slot]
        steps = {step.node_id: step for step in segment.steps}
        try:
            async with aclosing(self.stages.run(segment, inputs)) as events:
                async for event in events:
                    self._follow(event, segment, steps, results)
        except ResultLostError:
            for node_id in {link.node_id for link in segment.needs} | segment.gives:
                if node_id in self.folded.steps:
                    self.cache.forget(self._key(node_id))
                    self._own.pop(self.folded.steps[node_id].key, None)
            raise
        self._leave(segment, results)

    async def _outputs(self, node_id: str, results: Results) -> Outputs | None:
        """The outputs of a step; None where it has none in this plan."""
        if node_id in results:  # shielded: who waits may be cancelled, the result not with it
            return await asyncio.shield(results[node_id])
        folding = self.folded.folding
        if folding and node_id in folding.given:
            return (folding.given[node_id],)
        own = self._own.get(self.folded.steps[node_id].key)
        return own or await self.cache.get(self._key(node_id), self.job)

    def _leave(self, segment: Segment, results: Results) -> None:
        """Tell who waits that what did not run is left to the next plan."""
        for node_id in segment.gives:
            if not results[node_id].done():
                results[node_id].set_result(None)

    def _follow(
        self, event: StepEvent, segment: Segment, steps: Mapping[str, Step], results: Results
    ) -> None:
        if isinstance(event, Warned):
            self.cache.warn(self._key(event.node_id), event.text, self.job)
        elif isinstance(event, Needs | Expanded):
            self._changes.append(event)
        elif isinstance(event, Blocked | Said | Sent | Displayed):
            self.report(event)
        elif isinstance(event, Started | Progress):
            if (combined := self._parts.merged(event, segment)) is not None:
                self.report(combined)
        elif isinstance(event, Done):
            self._done(event, steps[event.node_id], results)

    def _done(self, event: Done, step: Step, results: Results) -> None:
        if event.outputs is not None:
            self.cache.keep(self._key(event.node_id), event.outputs, self.job)
            results[event.node_id].set_result(event.outputs)
            if not self.folded.settled:
                self._own[step.key] = event.outputs
        if event.node_id in self.folded.output_ids:
            self._finished.add(event.node_id)
        end = time.monotonic() - self._began
        start = self._parts.ended(step, max(0.0, end - event.seconds))
        if start is not None:
            stage = self.folded.stages[step.node_id]
            self._tell(NodeTiming(step.reported_id, step.reported_class, stage, start, end))

    def _end_expanded(self) -> None:
        """Keep the results of nodes that expanded, once the nodes in their place have theirs."""
        folding = self.folded.folding
        for node_id, ended in list(folding.ended.items()) if folding else ():
            assert folding
            outputs = folding.outputs_of(ended, self._own)
            if outputs is not None:
                del folding.ended[node_id]
                self._own[ended.step.key] = outputs
                self.cache.keep((self.owner, ended.step.key), outputs, self.job)

    def _cached(self, plan: Plan) -> AbstractSet[str]:
        """The steps that are told as cached."""
        if not self.tells_all:
            return plan.known
        planned = {step.node_id for segment in plan.segments for step in segment.steps}
        found: set[str] = set()
        there = [i for i, step in self.folded.steps.items() if self._is_known(step.key)]
        waiting = [*plan.known, *(self.saved & self.folded.steps.keys()), *there]
        while waiting:
            node_id = waiting.pop()
            if node_id in found or node_id in planned or node_id not in self.folded.steps:
                continue
            found.add(node_id)
            step = self.folded.live(self.folded.steps[node_id])
            waiting += [link.node_id for link in step.links.values()]
        return found

    def _tell_cached(self, node_id: str) -> None:
        now = time.monotonic() - self._began
        step, stage = self.folded.steps[node_id], self.folded.stages[node_id]
        if not self._parts.runs(step.reported_id):
            timing = NodeTiming(step.reported_id, step.reported_class, stage, now, now, cached=True)
            self._tell(timing)

    def _tell(self, timing: NodeTiming) -> None:
        if not (timing.cached and timing.node_id in self.timings):
            self.timings[timing.node_id] = timing
            self.report(timing)

    def _tell_warnings(self) -> None:
        """Every warning once, whether its node ran in this job or its result was there."""
        said = set()
        for node_id, step in self.folded.steps.items():
            for text in self.cache.warnings(self._key(node_id), self.job):
                if text not in said:
                    said.add(text)
                    self.report(Warned(step.reported_id, text))

    def _key(self, node_id: str) -> tuple[str, str]:
        return self.owner, self.folded.steps[node_id].key
