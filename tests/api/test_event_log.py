import asyncio

from api.jobs.event_log import EventLog
from api.jobs.events import Happened, JobAddress, Progressed

JOB = JobAddress("me", 1)


def _log(kept: int) -> EventLog:
    return EventLog(JOB, kept, last_id=0)


async def _read(log: EventLog, after: int = 0) -> list[Happened | None]:
    return [event async for event in log.after(after, beat_s=5)]


async def test_only_the_last_events_are_kept_under_their_own_numbers() -> None:
    log = _log(kept=2)
    for step in range(5):
        log.add(Progressed("3", step, 5))
    log.close()
    assert [event.id for event in await _read(log) if event] == [4, 5]


async def test_two_readers_hear_the_same_while_it_happens() -> None:
    log = _log(kept=100)
    readers = [asyncio.create_task(_read(log)) for _ in range(2)]
    for step in range(3):
        log.add(Progressed("3", step, 3))
        await asyncio.sleep(0)
    log.close()
    first, second = await asyncio.gather(*readers)
    assert first == second
    assert [event.id for event in first if event] == [1, 2, 3]


async def test_nothing_is_missed_between_reading_and_waiting() -> None:
    log = _log(kept=100)
    stream = log.after(0, beat_s=5)
    log.add(Progressed("3", 1, 2))
    first = await anext(stream)
    log.add(Progressed("3", 2, 2))
    log.close()
    rest = [event async for event in stream]
    assert [event and event.id for event in (first, *rest)] == [1, 2]


def test_of_previews_the_newest_alone_is_kept() -> None:
    log = _log(kept=2000)
    for step in range(1000):
        log.add(Progressed("3", step, 1000, bytes(100_000)))
    assert [event.id for event in log.events if event.preview] == [1000]
    assert log.nbytes < 500_000


def test_events_of_another_replica_keep_their_numbers_and_come_once() -> None:
    log, copy = _log(kept=10), EventLog(JOB, 10)
    for step in range(3):
        log.add(Progressed("3", step, 3))
    taken = [copy.put(happened) for happened in (*log.events, *log.events)]
    assert taken == [True] * 3 + [False] * 3
    assert copy.events == log.events
