"""Running a segment on its stage: node functions, called as soon as their inputs are there."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, cast

from graph.cache import ResultLostError
from graph.errors import NodeFailed, ServiceError
from graph.events import Done, Progress, Started, StepEvent, Warned
from graph.node import Hidden, NodeType
from graph.plain_reasons import plain_reason
from graph.plan import Segment, Step, as_outputs
from graph.prompt import Source
from graph.stages import Stage
from graph.values import Items

LOG = logging.getLogger(__name__)
Report: TypeAlias = Callable[[Progress | Warned], None]


class StageWork(Protocol):
    """What a stage offers to the nodes that run on it."""

    def for_node(self, node_id: str, report: Report) -> object:
        """The object that node functions of this stage are called with."""

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

    Closing the iterator, or an error in one step, cancels the steps that are running.
    """
    events: asyncio.Queue[StepEvent | None] = asyncio.Queue()
    results: dict[str, asyncio.Task[tuple[Any, ...]]] = {}

    async def run(step: Step) -> tuple[Any, ...]:
        handed = {  # shielded: cancelling a long chain would go up it again from every step
            name: (await asyncio.shield(results[link.node_id]))[link.slot]
            if link.node_id in results
            else inputs[link]
            for name, link in step.links.items()
        }
        node_type = node_types[step.class_type]
        events.put_nowait(Started(step.told_as))
        began = time.perf_counter()
        with named_failure(step):
            outputs = await run_node(step, node_type, {**step.constants, **handed}, work, events)
        seconds = time.perf_counter() - began
        leaves = step.node_id in segment.gives
        events.put_nowait(Done(step.node_id, seconds, outputs if leaves else None))
        return outputs

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
        raise error.at(step.told_as, step.class_type) from error
    except Exception as error:
        LOG.exception("node %s (%s) failed", step.told_as, step.class_type)
        raise NodeFailed(step.told_as, step.class_type, f"{plain_reason(error)}.") from error


async def run_node(
    step: Step,
    node_type: NodeType,
    inputs: Mapping[str, Any],
    work: StageWork,
    events: "asyncio.Queue[StepEvent | None]",
) -> tuple[Any, ...]:
    """The outputs of one node; for each of several items where a list comes in."""
    told = {Hidden.NODE_ID: step.told_as, Hidden.ROWS: step.rows}
    hidden = {name: told[mark] for name, mark in node_type.hidden.items() if mark in told}
    place = (
        () if node_type.stage == Stage.INLINE else (work.for_node(step.told_as, events.put_nowait),)
    )

    async def join(given: Mapping[str, Any]) -> tuple[Any, ...]:
        (joining,) = cast(tuple[Joining], place)
        values, outputs = list(given.values()), len(node_type.outputs)
        count = len(values) // outputs
        by_output = [values[slot * count : (slot + 1) * count] for slot in range(outputs)]
        return tuple(await work.call(lambda: [joining.join_rows(parts) for parts in by_output]))

    async def call(given: Mapping[str, Any]) -> tuple[Any, ...]:
        def function() -> Any:
            return node_type.function(*place, **given, **hidden)

        if asyncio.iscoroutinefunction(node_type.function):
            return as_outputs(node_type, await function())
        return as_outputs(node_type, await work.call(function))

    return await over_items(node_type, inputs, join if step.joins else call)


async def over_items(
    node_type: NodeType,
    inputs: Mapping[str, Any],
    call: Callable[[Mapping[str, Any]], Awaitable[tuple[Any, ...]]],
) -> tuple[Any, ...]:
    """ComfyUI's lists: a node runs once per item, short lists repeating their last."""
    lists = {name: value.values for name, value in inputs.items() if isinstance(value, Items)}
    if node_type.input_is_list:
        return await call({name: list(lists.get(name, [value])) for name, value in inputs.items()})
    if not lists:
        return await call(inputs)
    count = max(map(len, lists.values()))
    each = [
        await call(
            {**inputs, **{name: items[min(k, len(items) - 1)] for name, items in lists.items()}}
        )
        for k in range(count)
    ]
    return tuple(
        Items(tuple(item for outputs in each for item in _items(outputs[slot])))
        for slot in range(len(node_type.outputs))
    )


def _items(value: Any) -> tuple[Any, ...]:
    return value.values if isinstance(value, Items) else (value,)


def first_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that came first, out of its groups."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
