"""Events of a segment, sent to the router several at a time.

Each message of a stream costs a fraction of a millisecond on both sides, more than many nodes take.
What others wait for is sent at once, with what came before it; what is only shown waits a little
for company.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TypeAlias

from graph.events import (
    Blocked,
    Displayed,
    Done,
    Progress,
    Said,
    Sent,
    Started,
    StepEvent,
    Warned,
)

SHOWN = Started | Progress | Warned | Blocked | Said | Sent | Displayed
SHOWN_S = 0.02  # how long an event waits that is only shown
WAITED_FOR_S = 0.001  # how long one waits that others wait for

EventBatch: TypeAlias = tuple[StepEvent, ...]


async def in_batches(events: AsyncGenerator[StepEvent, None]) -> AsyncGenerator[EventBatch, None]:
    """The same events in the same order, as tuples. Closes `events` at the end."""
    batch: list[StepEvent] = []
    send_at = 0.0
    coming: asyncio.Task[StepEvent | None] | None = None
    try:
        while True:
            coming = coming or asyncio.create_task(_next(events))
            left_s = max(0.0, send_at - time.monotonic()) if batch else None
            await asyncio.wait([coming], timeout=left_s)
            if not coming.done():
                yield tuple(batch)
                batch.clear()
                continue
            done, coming = coming, None
            event = None if done.exception() else done.result()
            if event is None:
                break
            now = time.monotonic()
            send_at = min(send_at, now + _wait_s(event)) if batch else now + _wait_s(event)
            batch.append(event)
        if batch:
            yield tuple(batch)
        done.result()  # raises what ended them
    finally:
        if coming:
            coming.cancel()
            await asyncio.wait([coming])
        await events.aclose()


async def _next(events: AsyncGenerator[StepEvent, None]) -> StepEvent | None:
    return await anext(events, None)


def _wait_s(event: StepEvent) -> float:
    inside = isinstance(event, Done) and event.outputs is None
    shown = inside or isinstance(event, SHOWN)
    return SHOWN_S if shown else WAITED_FOR_S
