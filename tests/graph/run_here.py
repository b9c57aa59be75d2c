"""A segment run in this process, its values handed on as they are."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Any

from graph.cache import Handle
from graph.events import Done, StepEvent
from graph.node import NodeType
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import StageWork, run_segment


async def run_here(
    segment: Segment,
    inputs: Mapping[Source, Handle],
    types: Mapping[str, NodeType],
    work: StageWork,
    nbytes: Callable[[Any], int] = lambda _: 0,
) -> AsyncGenerator[StepEvent, None]:
    values = {link: handle.value for link, handle in inputs.items()}
    async for event in run_segment(segment, values, types, work):
        if isinstance(event, Done) and event.outputs is not None:
            yield replace(event, outputs=tuple(Handle(v, nbytes(v)) for v in event.outputs))
        else:
            yield event
