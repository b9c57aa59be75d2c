"""Runs segments on a stage: fetches inputs, runs the nodes, stores results."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from deployments.stage_metrics import StageMetrics
from deployments.transport import INLINE_BYTES, Shelf, load, stored_calls, to_tensors
from deployments.watches import SegmentWatch
from graph.cache import Handle
from graph.events import Done, Expanded, FileMade, StepEvent
from graph.new_files import NewFile
from graph.node import NodeType
from graph.nodes import load_node_types
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report, run_segment
from graph.stages import Stage

Place: TypeAlias = Callable[[str, Report, Segment], object]


@dataclass(frozen=True)
class SegmentRunner:
    """Runs segments on this replica. `places` give what the nodes of a stage are called with.

    They are told the node, where its reports go, and the segment, which says whose job it is.
    """

    places: Mapping[Stage, Place]
    metrics: StageMetrics
    watch: SegmentWatch
    node_types: Mapping[str, NodeType] = field(default_factory=load_node_types)
    shelf: Shelf = field(default_factory=Shelf)
    segment: Segment = field(default_factory=lambda: Segment(Stage.INLINE, (), frozenset()))

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        return self.places[stage](node_id, report, self.segment)

    async def call(self, function: Callable[[], Any]) -> Any:
        """Run a tensor function in a thread, so that the replica stays able to answer."""
        import torch  # noqa: PLC0415 - imported by replicas, not by the process that binds them

        return await asyncio.to_thread(torch.inference_mode()(function))

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        """Run a segment. The outputs in `Done` are Handles."""
        with self.metrics.segment(), self.watch(segment) as follower:
            values = await asyncio.gather(*(load(handle, to_tensors) for handle in inputs.values()))
            loaded = dict(zip(inputs, values, strict=True))
            running = run_segment(segment, loaded, self.node_types, replace(self, segment=segment))
            async with aclosing(running) as events:
                async for event in events:
                    follower.hear(event)
                    yield await leaving(event, self.shelf)


async def leaving(event: StepEvent, shelf: Shelf) -> StepEvent:
    """The event as it goes to the router: with Handles for outputs."""
    if isinstance(event, Expanded):
        calls = await asyncio.to_thread(stored_calls, event.calls, shelf.store)
        return replace(event, calls=calls)
    if isinstance(event, FileMade):
        file = event.file
        small = len(file.content) + len(file.poster or b"") <= INLINE_BYTES
        return replace(
            event, file=_sent(file, shelf) if small else await asyncio.to_thread(_sent, file, shelf)
        )
    if not isinstance(event, Done) or not event.outputs:
        return event
    return replace(event, outputs=await asyncio.to_thread(_stored, event.outputs, shelf))


def _sent(file: NewFile, shelf: Shelf) -> NewFile:
    """A file with Handles for what is in it."""
    poster = None if file.poster is None else shelf.store(file.poster)
    return replace(file, content=shelf.store(file.content), poster=poster)


def _stored(outputs: tuple[Any, ...], shelf: Shelf) -> tuple[Handle, ...]:
    return tuple(map(shelf.store, outputs))
