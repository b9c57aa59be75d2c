"""Leases, as two replicas, one of which dies, see them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from storage.database import Database
from storage.jobs.leases import Claim, JobLeases
from storage.jobs.records import JobFilter, JobRecord, JobRecords


@dataclass
class Table:
    database: Database
    jobs: JobRecords

    def replica(self, name: str, lease_s: float = 60.0) -> JobLeases:
        return JobLeases(self.database, name, lease_s=lease_s, most_epochs=3)

    async def prompted(
        self, client_id: str | None, owner: str = "me", *, front: bool = False
    ) -> int:
        record = JobRecord(owner, client_id=client_id)
        return (await self.jobs.add(record, b"request", front=front)).id

    async def queued(self, owner: str = "me", priority: int = 0, created_s: float = 1.0) -> int:
        record = JobRecord(owner, priority=priority, created_s=created_s, estimate_s=2.0)
        return (await self.jobs.add(record, b"request")).id


@pytest.fixture
async def table(database_url: str) -> AsyncIterator[Table]:
    database = Database(database_url)
    await database.open()
    yield Table(database, JobRecords(database))
    await database.close()


def _ids(claims: tuple[Claim, ...]) -> list[int]:
    return [claim.record.id for claim in claims]


async def test_a_claim_is_a_running_job_of_the_next_epoch(table: Table) -> None:
    job_id = await table.queued()
    (claim,) = await table.replica("a").claim(5, now_s=7.0)
    assert claim.request == b"request"
    assert claim.record == await table.jobs.get("me", job_id)
    assert (claim.record.status, claim.record.epoch) == ("running", 1)
    assert claim.record.started_s == 7.0


async def test_two_replicas_never_claim_the_same_job(table: Table) -> None:
    ids = [await table.queued() for _ in range(10)]
    a, b = table.replica("a"), table.replica("b")
    claims = await asyncio.gather(*(one.claim(2, 0.0) for one in (a, b) for _ in range(5)))
    assert sorted(job_id for claim in claims for job_id in _ids(claim)) == sorted(ids)
    assert len(await a.held()) + len(await b.held()) == 10


async def test_jobs_are_claimed_by_priority_then_by_arrival(table: Table) -> None:
    wanted = [(-1, 0.0), (0, 1.0), (0, 2.0), (5, 3.0)]
    last, early, low, high = [await table.queued("me", p, at) for p, at in wanted]
    assert _ids(await table.replica("a").claim(9, 0.0)) == [high, early, low, last]


async def test_owners_take_turns_however_many_jobs_one_has(table: Table) -> None:
    greedy = [await table.queued("greedy", created_s=k) for k in range(4)]
    modest = [await table.queued("modest", created_s=10 + k) for k in range(2)]
    order = _ids(await table.replica("a").claim(9, 0.0))
    assert order == [greedy[0], modest[0], greedy[1], modest[1], greedy[2], greedy[3]]


async def test_who_runs_something_already_comes_after_who_runs_nothing(table: Table) -> None:
    a = table.replica("a")
    await table.queued("greedy")
    await a.claim(1, 0.0)
    await table.queued("greedy", created_s=1.0)
    modest = await table.queued("modest", created_s=2.0)
    assert _ids(await a.claim(1, 0.0)) == [modest]


async def test_positions_are_the_order_of_the_claims(table: Table) -> None:
    for owner, priority, at in [("a", 0, 1), ("b", 3, 2), ("a", 9, 3), ("b", 0, 4), ("c", 0, 5)]:
        await table.queued(owner, priority, float(at))
    a = table.replica("a")
    waiting = [one for owner in "abc" for one in await table.jobs.page(owner, JobFilter())]
    positions = {one.id: (await a.queue_position(one)).position for one in waiting}
    order = _ids(await a.claim(9, 0.0))
    assert [positions[job_id] for job_id in order] == [1, 2, 3, 4, 5]


async def test_what_is_ahead_is_told_in_seconds(table: Table) -> None:
    for _ in range(2):
        await table.queued()
    last = await table.queued(created_s=9.0)
    a = table.replica("a")
    assert (await a.queue_position(await table.jobs.get("me", last))).ahead_s == 4.0


async def test_an_expired_lease_is_taken_up_and_its_old_holder_ends_nothing(table: Table) -> None:
    await table.queued()
    dead, alive = table.replica("dead", lease_s=-1.0), table.replica("alive")
    (lost,) = await dead.claim(1, 0.0)
    assert (await alive.take_up_expired()).requeued == 1
    (taken,) = await alive.claim(1, 0.0)
    assert (taken.record.id, taken.record.epoch) == (lost.record.id, 2)
    assert await dead.held() == {}
    assert not await table.jobs.end(replace(lost.record, status="success"))
    assert await table.jobs.end(replace(taken.record, status="success"))


async def test_a_renewed_lease_is_kept(table: Table) -> None:
    job_id = await table.queued()
    await table.replica("a", lease_s=-1.0).claim(1, 0.0)
    await table.replica("a").renew()
    assert (await table.replica("b").take_up_expired()).requeued == 0
    assert await table.replica("a").held() == {job_id: (1, False)}


async def test_released_jobs_are_claimed_at_once(table: Table) -> None:
    job_id = await table.queued()
    a, b = table.replica("a"), table.replica("b")
    await a.claim(1, 0.0)
    await a.release()
    assert _ids(await b.claim(1, 0.0)) == [job_id]


async def test_a_job_that_takes_replicas_down_is_given_up(table: Table) -> None:
    job_id = await table.queued()
    dead, alive = table.replica("dead", lease_s=-1.0), table.replica("alive")
    for _ in range(2):
        await dead.claim(1, 0.0)
        assert (await alive.take_up_expired()).requeued == 1
    await dead.claim(1, 0.0)
    expired = await alive.take_up_expired()
    assert (expired.requeued, [one.id for one in expired.hopeless]) == (0, [job_id])


async def test_who_holds_a_job_hears_that_it_is_to_be_cancelled(table: Table) -> None:
    await table.queued()
    a = table.replica("a", lease_s=-1.0)
    (claim,) = await a.claim(1, 0.0)
    await table.jobs.ask_to_cancel(claim.record)
    assert await a.held() == {claim.record.id: (1, True)}
    expired = await table.replica("b").take_up_expired()
    assert [one.id for one in expired.hopeless] == [claim.record.id]


async def test_nobody_takes_up_what_it_runs_itself(table: Table) -> None:
    await table.queued()
    late = table.replica("late", lease_s=-1.0)
    await late.claim(1, 0.0)
    assert (await late.take_up_expired()).requeued == 0


async def test_one_clients_jobs_run_one_after_another_in_the_order_they_came(table: Table) -> None:
    ids = [await table.prompted("krita") for _ in range(3)]
    a, b = table.replica("a"), table.replica("b")
    for job_id in ids:
        claims = await asyncio.gather(a.claim(5, 0.0), b.claim(5, 0.0))
        (claim,) = [claim for of_one in claims for claim in of_one]
        assert claim.record.id == job_id
        await table.jobs.end(replace(claim.record, status="success", ended_s=1.0))


async def test_other_clients_and_owners_do_not_wait_for_it(table: Table) -> None:
    first = await table.prompted("krita")
    await table.prompted("krita")
    others = [
        await table.prompted("editor"),
        await table.prompted(None),
        await table.prompted(None),
        await table.prompted("krita", "you"),
    ]
    assert sorted(_ids(await table.replica("a").claim(9, 0.0))) == sorted([first, *others])


async def test_what_comes_to_the_front_goes_before_all_that_wait(table: Table) -> None:
    ids = [await table.prompted(None), await table.prompted(None, front=True)]
    ids.append(await table.prompted(None, front=True))
    assert _ids(await table.replica("a").claim(9, 0.0)) == [ids[2], ids[1], ids[0]]
