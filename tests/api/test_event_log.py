import asyncio

from api.jobs.events import EventLog, JobEvent


async def _read(log: EventLog, after: int = 0) -> list[JobEvent | None]:
    return [event async for event in log.after(after, beat_s=5)]


async def test_only_the_last_events_are_kept_under_their_own_numbers() -> None:
    log = EventLog(kept=2)
    for step in range(5):
        log.add("progress", {"step": step})
    log.close()
    assert [event.id for event in await _read(log) if event] == [4, 5]


async def test_two_readers_hear_the_same_while_it_happens() -> None:
    log = EventLog(kept=100)
    readers = [asyncio.create_task(_read(log)) for _ in range(2)]
    for step in range(3):
        log.add("progress", {"step": step})
        await asyncio.sleep(0)
    log.close()
    first, second = await asyncio.gather(*readers)
    assert first == second
    assert [event.id for event in first if event] == [1, 2, 3]


async def test_nothing_is_missed_between_reading_and_waiting() -> None:
    log = EventLog(kept=100)
    stream = log.after(0, beat_s=5)
    log.add("a", {})
    assert await anext(stream) == JobEvent(1, "a", {})
    log.add("b", {})
    log.close()
    assert [event async for event in stream] == [JobEvent(2, "b", {})]
