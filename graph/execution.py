"""Running a plan: segments that do not depend on each other at the same time, equal work once."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from graph.cache import Handle, Outputs, ResultCache, ResultLostError
from graph.events import Done, Progress, Started, StepEvent, Warned
from graph.part_reports import PartReports
from graph.plan import Folded, Plan, Segment, Step, make_plan
from graph.prompt import Source
from graph.segment_run import first_cause


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
    """One job's way through its plan."""

    owner: str
    folded: Folded
    stages: Stages
    cache: ResultCache
    report: Callable[[Started | Progress | Warned | NodeTiming], None]
    job: int = 0
    most_attempts: int = 3
    timings: dict[str, NodeTiming] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _parts: PartReports = field(default_factory=PartReports)
    _outputs: frozenset[str] = frozenset()
    _finished: set[str] = field(default_factory=set)  # output nodes: run once, whatever is repeated

    async def run(self) -> tuple[NodeTiming, ...]:
        """Run every output node.

        When a result that was counted on is lost (its replica died, or the job computing it
        failed), what is still missing is planned and run again, a bounded number of times.
        """
        self._outputs = frozenset(self.folded.output_ids)
        for attempt in range(self.most_attempts):
            plan = make_plan(self._unfinished(), lambda key: (self.owner, key) in self.cache)
            try:
                await self._run_plan(plan)
            except ResultLostError:
                if attempt == self.most_attempts - 1:
                    raise
            else:
                break
        self._tell_warnings()
        return tuple(self.timings.values())

    def _unfinished(self) -> Folded:
        left = tuple(i for i in self.folded.output_ids if i not in self._finished)
        return Folded(self.folded.steps, self.folded.stages, left)

    async def _run_plan(self, plan: Plan) -> None:
        self._parts.expect(plan)
        for node_id in sorted(plan.known):
            self._tell_cached(node_id)
        results: dict[str, asyncio.Future[Outputs]] = {}
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
                    self.cache.withdraw(self._key(node_id))

    async def _run_segment(
        self, segment: Segment, results: dict[str, "asyncio.Future[Outputs]"]
    ) -> None:
        inputs = {}
        for link in segment.needs:
            outputs = await (  # shielded: who waits here may be cancelled, the result not with it
                asyncio.shield(results[link.node_id])
                if link.node_id in results
                else self.cache.get(self._key(link.node_id), self.job)
            )
            inputs[link] = outputs[link.slot]
        steps = {step.node_id: step for step in segment.steps}
        try:
            async with aclosing(self.stages.run(segment, inputs)) as events:
                async for event in events:
                    self._follow(event, segment, steps, results)
        except ResultLostError:
            for node_id in {link.node_id for link in segment.needs} | segment.gives:
                self.cache.forget(self._key(node_id))
            raise

    def _follow(
        self,
        event: StepEvent,
        segment: Segment,
        steps: Mapping[str, Step],
        results: dict[str, "asyncio.Future[Outputs]"],
    ) -> None:
        if isinstance(event, Warned):
            self.cache.warn(self._key(event.node_id), event.text, self.job)
            return
        if not isinstance(event, Done):
            if (told := self._parts.merged(event, segment)) is not None:
                self.report(told)
            return
        if event.outputs is not None:
            self.cache.keep(self._key(event.node_id), event.outputs, self.job)
            results[event.node_id].set_result(event.outputs)
        if event.node_id in self._outputs:
            self._finished.add(event.node_id)
        end, step = time.monotonic() - self._began, steps[event.node_id]
        start = self._parts.ended(step, max(0.0, end - event.seconds))
        if start is not None:
            self._tell(NodeTiming(step.told_as, step.class_type, segment.stage, start, end))

    def _tell_cached(self, node_id: str) -> None:
        now = time.monotonic() - self._began
        step, stage = self.folded.steps[node_id], self.folded.stages[node_id]
        if not self._parts.runs(step.told_as):
            timing = NodeTiming(step.told_as, step.class_type, stage, now, now, cached=True)
            self._tell(timing)

    def _tell(self, timing: NodeTiming) -> None:
        if not (timing.cached and timing.node_id in self.timings):
            self.timings[timing.node_id] = timing
            self.report(timing)

    def _tell_warnings(self) -> None:
        """Every warning once, whether its node ran in this job or its result was there."""
        said = set()
        for node_id in self.folded.steps:
            for text in self.cache.warnings(self._key(node_id), self.job):
                if text not in said:
                    said.add(text)
                    self.report(Warned(node_id, text))

    def _key(self, node_id: str) -> tuple[str, str]:
        return self.owner, self.folded.steps[node_id].key
