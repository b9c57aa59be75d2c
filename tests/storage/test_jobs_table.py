import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from storage.database import Database
from storage.jobs.records import (
    IdempotencyConflictError,
    JobFilter,
    JobRecord,
    JobRecords,
    MissingJobError,
    PromptIdTakenError,
)


@pytest.fixture
async def jobs(database_url: str) -> AsyncIterator[JobRecords]:
    database = Database(database_url)
    await database.open()
    yield JobRecords(database)
    await database.close()


async def test_a_record_comes_back_as_it_was_written(jobs: JobRecords) -> None:
    record = await jobs.add(JobRecord("me", priority=3, track_id="t", webhook="http://x"))
    done = replace(record, status="success", started_s=1.5, answer={"seed": 2**64 - 1})
    assert await jobs.end(done)
    assert await jobs.get("me", record.id) == done


async def test_a_job_is_its_owners_alone(jobs: JobRecords) -> None:
    record = await jobs.add(JobRecord("me"))
    for owner, job_id in (("you", record.id), ("me", record.id + 1), ("me", 2**70)):
        with pytest.raises(MissingJobError):
            await jobs.get(owner, job_id)


async def test_an_idempotency_key_is_one_owners(jobs: JobRecords) -> None:
    mine = await jobs.add(JobRecord("me", idempotency_key="k", body_hash="a"))
    yours = await jobs.add(JobRecord("you", idempotency_key="k", body_hash="b"))
    assert await jobs.replayed("me", "k", "a") == mine
    assert await jobs.replayed("you", "k", "b") == yours
    assert await jobs.replayed("me", "other", "a") is None


async def test_adding_twice_under_one_key_gives_the_first(jobs: JobRecords) -> None:
    twins = [JobRecord("me", idempotency_key="k", body_hash="a") for _ in range(4)]
    added = await asyncio.gather(*map(jobs.add, twins))
    assert len({record.id for record in added}) == 1


async def test_another_body_under_one_key_is_a_conflict(jobs: JobRecords) -> None:
    await jobs.add(JobRecord("me", idempotency_key="k", body_hash="a"))
    with pytest.raises(IdempotencyConflictError):
        await jobs.add(JobRecord("me", idempotency_key="k", body_hash="b"))


async def test_pages_follow_each_other_even_within_one_moment(jobs: JobRecords) -> None:
    added = [await jobs.add(JobRecord("me", created_s=1.0)) for _ in range(5)]
    first = await jobs.page("me", JobFilter(limit=3))
    rest = await jobs.page("me", JobFilter(before=(1.0, first[-1].id), limit=3))
    assert [*first, *rest] == sorted(added, key=lambda record: -record.id)


async def test_a_job_ends_once(jobs: JobRecords) -> None:
    record = await jobs.add(JobRecord("me", status="running", epoch=1))
    success, failed = replace(record, status="success"), replace(record, status="failed")
    assert sorted(await asyncio.gather(*map(jobs.end, [success, failed]))) == [False, True]


async def test_who_began_a_job_before_somebody_else_did_ends_nothing(jobs: JobRecords) -> None:
    record = await jobs.add(JobRecord("me", status="running", epoch=2))
    assert not await jobs.end(replace(record, status="success", epoch=1))
    assert not (await jobs.get("me", record.id)).ended


async def test_a_deleted_job_is_gone_and_only_its_owner_deletes_it(jobs: JobRecords) -> None:
    record = await jobs.add(JobRecord("me", status="running", epoch=1))
    assert not await jobs.delete("you", record.id)
    assert await jobs.delete("me", record.id)
    assert not await jobs.end(replace(record, status="success"))
    with pytest.raises(MissingJobError):
        await jobs.get("me", record.id)


async def test_old_jobs_are_swept_and_unfinished_ones_stay(jobs: JobRecords) -> None:
    old, new = [await jobs.add(JobRecord("me", ended_s=ended_s)) for ended_s in (1.0, 9.0)]
    unfinished = await jobs.add(JobRecord("me", created_s=1.0))
    assert await jobs.sweep(5.0) == 1
    left = await jobs.page("me", JobFilter())
    assert {record.id for record in left} == {new.id, unfinished.id}
    assert old.id not in await jobs.states([old.id, new.id])


async def test_many_write_at_once(jobs: JobRecords) -> None:
    records = await asyncio.gather(*(jobs.add(JobRecord("me")) for _ in range(40)))
    await asyncio.gather(*(jobs.end(replace(record, status="failed")) for record in records))
    assert len(await jobs.page("me", JobFilter("failed", limit=50))) == 40


async def test_a_prompt_id_is_one_job_of_an_owner(jobs: JobRecords) -> None:
    await jobs.add(JobRecord("me", prompt_id="a"))
    await jobs.add(JobRecord("you", prompt_id="a"))
    with pytest.raises(PromptIdTakenError):
        await jobs.add(JobRecord("me", prompt_id="a"))


async def test_an_owners_jobs_are_numbered_as_they_come(jobs: JobRecords) -> None:
    added = [await jobs.add(JobRecord("me")) for _ in range(2)]
    added += [await jobs.add(JobRecord("you")), await jobs.add(JobRecord("me", number=7.5))]
    added.append(await jobs.add(JobRecord("me"), front=True))
    assert [one.number for one in added] == [1, 2, 1, 7.5, -3]
    assert await jobs.get("me", added[0].id) == added[0]
