import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

import pytest

from deployments.event_batches import EventBatch, in_batches
from graph.events import Done, Progress, Started, StepEvent

SHOWN = (Started("1"), Progress("1", 1, 2), Done("1", 0.1), Started("2"))
EventStream: TypeAlias = AsyncGenerator[StepEvent, None]
WAITED_FOR = Done("2", 0.1, (1,))


async def _of(events: Sequence[StepEvent], *, then: asyncio.Event | None = None) -> EventStream:
    for event in events:
        yield event
    if then:
        await then.wait()


async def _batches(events: EventStream) -> list[EventBatch]:
    return [batch async for batch in in_batches(events)]


async def test_events_that_come_together_travel_together() -> None:
    assert await _batches(_of((*SHOWN, WAITED_FOR))) == [(*SHOWN, WAITED_FOR)]


async def test_what_is_only_shown_does_not_wait_for_the_end() -> None:
    end = asyncio.Event()
    batches = in_batches(_of(SHOWN, then=end))
    assert await anext(batches) == SHOWN
    end.set()
    assert [batch async for batch in batches] == []


async def test_no_events_make_no_batch() -> None:
    assert await _batches(_of(())) == []


async def test_what_came_before_a_failure_is_sent_and_then_the_failure() -> None:
    async def failing() -> EventStream:
        yield SHOWN[0]
        raise ValueError("no")

    batches = in_batches(failing())
    assert await anext(batches) == SHOWN[:1]
    with pytest.raises(ValueError, match="no"):
        await anext(batches)


async def test_who_goes_away_ends_the_segment() -> None:
    ended = False

    async def running() -> EventStream:
        nonlocal ended
        try:
            yield SHOWN[0]
            await asyncio.Event().wait()
        finally:
            ended = True

    batches = in_batches(running())
    assert await anext(batches) == SHOWN[:1]
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended


async def test_who_leaves_between_batches_ends_the_segment_too() -> None:
    stream = _of(SHOWN, then=asyncio.Event())
    batches = in_batches(stream)
    assert await anext(batches) == SHOWN
    await batches.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
