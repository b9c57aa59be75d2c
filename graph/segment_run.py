"""Runs a segment on its stage: each node as soon as its inputs are ready."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, cast

from graph.cache import ResultLostError
from graph.dynamic_inputs import layout
from graph.errors import NodeFailed, ServiceError
from graph.events import (
    Blocked,
    Displayed,
    Done,
    Expanded,
    FileMade,
    Needs,
    Progress,
    Said,
    Sent,
    Started,
    StepEvent,
    Warned,
)
from graph.hooks import answer
from graph.node import Hidden, NodeType
from graph.plain_reasons import plain_reason
from graph.plan import Segment, Step
from graph.prompt import Source
from graph.results import Expansion, Outcome, as_outputs, blocked, item_calls, merged
from graph.stages import Stage

LOG = logging.getLogger(__name__)
Reported: TypeAlias = Progress | Warned | FileMade | Said | Sent | Displayed
Report: TypeAlias = Callable[[Reported], None]
Events: TypeAlias = "asyncio.Queue[StepEvent | None]"


class StageWork(Protocol):
    """What a stage offers to the nodes that run on it."""

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        """The object that node functions of a stage are called with."""

    async def call(self, function: Callable[[], Any]) -> Any:
        """Run a function that blocks, where blocking hurts nobody."""


class Joining(Protocol):
    """What a stage that does batches in parts offers besides."""

    def join_rows(self, parts: Sequence[Any]) -> Any:
        """One batch of the parts of a result, in their order."""


async def run_segment(
    segment: Segment,
    inputs: Mapping[Source, Any],
    node_types: Mapping[str, NodeType],
    work: StageWork,
) -> AsyncGenerator[StepEvent, None]:
    """Run all steps, each when its inputs are there, and tell what happens.

    What waits for a step that has no results yet (it needs more inputs, or expanded) does not run.
    Closing the iterator, or an error in one step, cancels the steps that are running.
    """
    events: Events = asyncio.Queue()
    results: dict[str, asyncio.Task[tuple[Any, ...] | None]] = {}

    async def run(step: Step) -> tuple[Any, ...] | None:
        handed = {}
        for name, link in step.links.items():
            if link.node_id in results:
                outputs = await results[link.node_id]
                if outputs is None:
                    return None
                handed[name] = outputs[link.slot]
            else:
                handed[name] = inputs[link]
        events.put_nowait(Started(step.reported_id))
        began = time.perf_counter()
        with named_failure(step):
            running = NodeRun(
                step, node_types[step.class_type], work, events, segment.hidden_values
            )
            ended = await running.run({**step.constants, **handed})
        if isinstance(ended, Needs):
            events.put_nowait(ended)
            return None
        seconds = time.perf_counter() - began
        if isinstance(ended, Calls):
            events.put_nowait(Expanded(step.node_id, seconds, ended.results, ended.mapped))
            return None
        leaves = step.node_id in segment.gives
        events.put_nowait(Done(step.node_id, seconds, ended if leaves else None))
        return ended

    async def run_all() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for step in segment.steps:
                    results[step.node_id] = group.create_task(run(step))
        except BaseExceptionGroup as errors:
            raise first_cause(errors) from errors
        finally:
            events.put_nowait(None)

    running = asyncio.create_task(run_all())
    try:
        while (event := await events.get()) is not None:
            yield event
        await running
    finally:
        running.cancel()
        await asyncio.wait([running])


@contextmanager
def named_failure(step: Step) -> Iterator[None]:
    """What goes wrong inside a node function is told with the node's name; the log has the rest."""
    try:
        yield
    except ResultLostError:
        raise
    except ServiceError as error:
        raise error.at(step.reported_id, step.reported_class) from error
    except Exception as error:
        LOG.exception("node %s (%s) failed", step.reported_id, step.reported_class)
        raise NodeFailed(
            step.reported_id, step.reported_class, f"{plain_reason(error)}."
        ) from error


@dataclass(frozen=True)
class Calls:
    """What the calls of a node's function gave, where one of them is an expansion."""

    results: tuple[Outcome, ...]
    mapped: bool


@dataclass(frozen=True)
class NodeRun:
    """One node, run with its inputs."""

    step: Step
    node_type: NodeType
    work: StageWork
    events: Events
    hidden_values: Mapping[str, Any]  # of the job, by Hidden

    async def run(self, inputs: Mapping[str, Any]) -> tuple[Any, ...] | Calls | Needs:
        """Its outputs, or why it has none yet."""
        if self.step.joins:
            return await self._joined(inputs)
        inputs = {**inputs, **dict.fromkeys(self.step.waiting)}  # None, as ComfyUI gives them
        if self.step.waiting and (needed := await self._needed(inputs)):
            return Needs(self.step.node_id, needed)
        calls, mapped = item_calls(self.node_type, inputs)
        results = tuple([await self._called(call) for call in calls])
        if any(isinstance(result, Expansion) for result in results):
            return Calls(results, mapped)
        outputs = cast(tuple[tuple[Any, ...], ...], results)
        return merged(len(self.node_type.outputs), outputs, mapped=mapped)

    async def _needed(self, inputs: Mapping[str, Any]) -> frozenset[str]:
        """The inputs that are waited for and that it does need, for any of its items."""
        assert self.node_type.hooks.lazy
        named: set[Any] = set()
        for call in item_calls(self.node_type, inputs)[0]:
            if blocked(call, lists=self.node_type.input_is_list) is None:
                named |= set(await answer(self.node_type.hooks.lazy(call)) or ())
        return frozenset(named & self.step.waiting.keys())

    async def _called(self, given: dict[str, Any]) -> Outcome:
        """One call of its function, unless something keeps it from being made."""
        if block := blocked(given, lists=self.node_type.input_is_list):
            if block.message is not None:
                self.events.put_nowait(Blocked(self.step.reported_id, block.message))
            return (type(block)(),) * len(self.node_type.outputs)
        function, place = self.node_type.function, self._place()
        hidden_values: dict[str, Any] = {
            **self.hidden_values,
            Hidden.NODE_ID: self.step.reported_id,
        }
        hidden_values[Hidden.ROWS] = self.step.rows
        hidden_values[Hidden.STEP] = self.step
        hidden = {
            name: hidden_values[mark]
            for name, mark in self.node_type.hidden.items()
            if mark in hidden_values
        }
        nested = layout(self.node_type.inputs, given).nested(given)

        def call() -> Any:
            return function(*place, **nested, **hidden)

        if inspect.iscoroutinefunction(function):
            return as_outputs(self.node_type, await call())
        return as_outputs(self.node_type, await self.work.call(call))

    async def _joined(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        """One batch of the parts of each output."""
        (joining,) = cast(tuple[Joining], self._place())
        values, outputs = list(given.values()), len(self.node_type.outputs)
        count = len(values) // outputs
        by_output = [values[slot * count : (slot + 1) * count] for slot in range(outputs)]
        return tuple(await self.work.call(lambda: [joining.join_rows(p) for p in by_output]))

    def _place(self) -> tuple[object, ...]:
        if (stage := self.node_type.stage) == Stage.INLINE:
            return ()
        return (self.work.for_node(stage, self.step.reported_id, self._report),)

    def _report(self, event: Reported) -> None:
        if isinstance(event, FileMade):
            event = replace(event, step=self.step.node_id)
        self.events.put_nowait(event)


def first_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that came first, out of its groups."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
