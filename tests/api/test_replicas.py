"""Several replicas of the service over one database, and what is left when one of them goes."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from api.jobs.leftovers import drop_leftovers
from api.jobs.service import Limits
from api.keys.access import Caller
from storage.database import Database
from storage.job_outputs import JobOutputs
from storage.jobs.records import JOBS, JobRecord, JobRecords, QueueLimits
from tests.api.conftest import API, OpenSite, Site

QUICK = Limits(running=2, look_s=0.02, watch_s=0.02, lease_s=0.2)
CLIENT = Limits(running=0, look_s=0.02, watch_s=0.02)  # takes jobs on, and runs none


async def _replicas(open_site: OpenSite, *limits: Limits) -> Sequence[Site]:
    return [await open_site(one) for one in limits]


async def _left_behind(site: Site, **workflow: object) -> int:
    """A job in the middle of which its replica died."""
    record = JobRecord("local", status="running", epoch=1)
    body = json.dumps({"workflow": workflow}).encode()
    sealed = site.service.stores.request_cipher.encrypt(body, f"job {record.id}")
    lease = {"worker": "dead", "lease_until": 1.0}
    await site.service.stores.jobs.add(record, sealed, lease=lease)
    return record.id


async def test_a_job_that_a_dead_replica_left_is_run_again(open_site: OpenSite) -> None:
    site: Site = await open_site(QUICK)
    job_id = await _left_behind(site, name="left")
    await site.ended(job_id)
    answer = await site.fetch(job_id)
    assert (answer["status"], len(answer["outputs"])) == ("success", 4)
    assert site.runner.started == ["left"]


async def test_a_job_begun_again_has_no_outputs_of_the_first_time(open_site: OpenSite) -> None:
    site: Site = await open_site(QUICK)
    job_id = await _left_behind(site)
    folder = site.service.stores.outputs.job_folder("local", job_id)
    await JobOutputs(folder).save_file(b"half", "early", ".txt", node_id="1")
    await site.ended(job_id)
    answer = await site.fetch(job_id)
    early = await site.client.get("/view?filename=early_00001_.txt")
    assert {output["node_id"] for output in answer["outputs"]} == {"4", "9", "10"}
    assert early.status_code == 404


async def test_jobs_that_begin_while_a_replica_looks_around_are_not_lost(
    open_site: OpenSite,
) -> None:
    site: Site = await open_site(Limits(running=99, look_s=0.0))
    ids = [await site.accepted({"name": str(k)}) for k in range(60)]
    await site.ended(*ids)
    assert site.runner.cancelled == []
    assert len(site.runner.started) == 60


class ReadsCounted(Database):
    """Says how often it was read."""

    reads = 0

    @asynccontextmanager
    async def reading(self, *, quick: bool = False) -> AsyncIterator[AsyncConnection]:
        self.reads += 1
        async with super().reading(quick=quick) as connection:
            yield connection


class SlowToTell(JobRecords):
    """Tells that a job is recorded once the replica has looked around several times since."""

    async def add(self, *args: Any, **kwargs: Any) -> JobRecord:
        record = await super().add(*args, **kwargs)
        database = self._database
        assert isinstance(database, ReadsCounted)
        until = database.reads + 10  # two of each look
        while database.reads < until:  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0)
        return record


async def test_a_job_that_is_just_being_recorded_is_not_put_back(open_site: OpenSite) -> None:
    site: Site = await open_site(
        Limits(running=9, look_s=0.0),
        change=lambda stores: replace(stores, jobs=SlowToTell(stores.database)),
        make_database=ReadsCounted,
    )
    job_id = await site.accepted({"name": "one"})
    await site.ended(job_id)
    assert (site.runner.started, site.runner.cancelled) == (["one"], [])


async def test_a_job_of_this_replica_that_nobody_runs_is_begun_again(open_site: OpenSite) -> None:
    site: Site = await open_site(QUICK)
    worker = site.service.worker_id
    record = JobRecord("local", status="running", epoch=1)
    body = json.dumps({"workflow": {}}).encode()
    sealed = site.service.stores.request_cipher.encrypt(body, f"job {record.id}")
    lease = {"worker": worker, "lease_until": 1e12}
    await site.service.stores.jobs.add(record, sealed, lease=lease)
    await site.ended(record.id)
    assert (await site.fetch(record.id))["status"] == "success"


async def test_a_job_that_takes_replicas_down_fails_in_the_end(open_site: OpenSite) -> None:
    site: Site = await open_site(QUICK)
    record = JobRecord("local", status="running", epoch=9)
    lease = {"worker": "dead", "lease_until": 1.0}
    await site.service.stores.jobs.add(record, b"", lease=lease)
    await site.ended(record.id)
    assert (await site.fetch(record.id))["errors"][0]["code"] == "abandoned"


async def test_a_request_that_cannot_be_decrypted_fails_its_job(open_site: OpenSite) -> None:
    site: Site = await open_site(QUICK)
    record = await site.service.stores.jobs.add(JobRecord("local"), b"sealed by another key")
    await site.ended(record.id)
    assert (await site.fetch(record.id))["errors"][0]["code"] == "undecryptable"


async def test_a_replica_that_stops_leaves_its_jobs_to_the_next(open_site: OpenSite) -> None:
    first: Site = await open_site(QUICK)
    running = await first.accepted({"name": "running", "hold": 1})
    await first.runner.running.wait()
    await first.service.close()
    second: Site = await open_site(QUICK)
    second.runner.go.set()
    await second.ended(running)
    assert (await second.fetch(running))["status"] == "success"
    assert first.runner.cancelled == ["running"]


async def test_another_replica_runs_what_this_one_has_no_room_for(open_site: OpenSite) -> None:
    client, worker = await _replicas(open_site, CLIENT, QUICK)
    answer = (await client.execute({"name": "x"}, wait=60)).json()
    assert answer["status"] == "success"
    assert (client.runner.started, worker.runner.started) == ([], ["x"])


async def test_events_of_another_replicas_job_are_its_turn_and_its_end(
    open_site: OpenSite,
) -> None:
    client, worker = await _replicas(open_site, CLIENT, QUICK)
    job_id = await client.accepted({"hold": 1})
    stream = client.service.following.events("local", job_id, base_url="http://here:8000")
    first = await anext(stream)
    await worker.runner.running.wait()
    worker.runner.go.set()
    rest = [event async for event in stream]
    told = [event for event in (first, *rest) if event is not None]
    assert [event.type for event in told if event.type != "queued"] == ["success"]
    assert told[-1].data["outputs"] == (await worker.fetch(job_id))["outputs"]


async def test_cancel_reaches_another_replica(open_site: OpenSite) -> None:
    client, worker = await _replicas(open_site, CLIENT, QUICK)
    job_id = await client.accepted({"name": "x", "hold": 1})
    await worker.runner.running.wait()
    answer = (await client.client.post(f"{API}/cancel/{job_id}")).json()
    assert answer["errors"][0]["code"] == "cancelled"
    assert worker.runner.cancelled == ["x"]


async def test_a_job_deleted_elsewhere_stops_and_leaves_nothing(open_site: OpenSite) -> None:
    client, worker = await _replicas(open_site, CLIENT, QUICK)
    job_id = await client.accepted({"name": "x", "hold": 1})
    await worker.runner.running.wait()
    deleted = await client.client.delete(f"{API}/jobs/{job_id}")
    assert deleted.json()["status"] == "success"
    await worker.runner.stopped.wait()
    assert (await worker.client.get(f"{API}/fetch/{job_id}")).status_code == 404
    assert (await worker.client.get(f"{API}/jobs")).json()["jobs"] == []


async def test_the_request_is_encrypted_until_the_end_and_then_gone(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(running=1))
    job_id = await site.accepted({"hold": 1, "text": "a secret fox"})
    database = site.service.stores.database
    assert b"fox" not in (await _request(database, job_id) or b"fox")
    site.runner.go.set()
    await site.ended(job_id)
    assert await _request(database, job_id) is None


async def test_the_request_stays_where_that_was_asked_for(site: Site) -> None:
    answer = (await site.execute({}, retain_inputs=True)).json()
    assert await _request(site.service.stores.database, answer["id"]) is not None


async def test_a_deleted_job_leaves_nothing(site: Site) -> None:
    answer = (await site.execute({}, webhook="https://you.example/hook")).json()
    assert (await site.client.delete(f"{API}/jobs/{answer['id']}")).status_code == 200
    for url in (f"{API}/fetch/{answer['id']}", f"{API}/jobs/{answer['id']}/deliveries"):
        assert (await site.client.get(url)).status_code == 404
    assert [(await site.client.get(url)).status_code for url in answer["output"]] == [404] * 4
    assert (await site.client.delete(f"{API}/jobs/{answer['id']}")).status_code == 404


async def test_owners_who_had_nothing_yet_go_before_those_who_wait_longer(
    open_site: OpenSite,
) -> None:
    site: Site = await open_site(Limits(running=1, queue=QueueLimits(queued=99)))
    await site.accepted({"name": "first", "hold": 1})
    for owner in "aaaabc":
        body = {"workflow": {"name": owner}, "wait": 0}
        last = await site.service.execute(Caller(owner), body)
    site.runner.go.set()
    await site.ended(last["id"], owner="c")
    assert site.runner.started[:4] == ["first", "a", "b", "c"]


async def test_a_long_line_of_several_owners_loses_nobody_and_is_fair(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(running=4, queue=QueueLimits(queued=999)))
    for _ in range(4):
        await site.accepted({"hold": 1})
    ids: dict[str, list[int]] = {owner: [] for owner in "abcde"}
    for owner, job_ids in ids.items():  # one owner after the other, the last one last in time
        for _ in range(20):
            body = {"workflow": {"name": owner}, "wait": 0}
            answer = await site.service.execute(Caller(owner), body)
            job_ids.append(answer["id"])
    site.runner.go.set()
    for owner, job_ids in ids.items():
        await site.ended(*job_ids, owner=owner)
    begun = Counter(site.runner.started[4:])
    early = Counter(site.runner.started[4:54])
    assert begun == dict.fromkeys("abcde", 20)
    assert min(early[owner] for owner in "abcde") >= 5  # of ten that are each owner's share


@pytest.mark.parametrize("waits", [1, 3])
async def test_the_eta_grows_with_the_line(open_site: OpenSite, waits: int) -> None:
    site: Site = await open_site(Limits(running=1))
    await site.accepted({"hold": 1})
    ids = [await site.accepted({"hold": 1}) for _ in range(waits)]
    answer = await site.fetch(ids[-1])
    assert (answer["queue_position"], answer["eta"]) == (waits, 5.0 * waits)


async def _request(database: Database, job_id: int) -> bytes | None:
    async with database.reading() as connection:
        rows = await connection.execute(sa.select(JOBS.c.request).where(JOBS.c.id == job_id))
        request: bytes | None = rows.scalar_one()
        return request


async def test_results_of_a_deleted_job_go_here_at_once_and_elsewhere_soon(
    open_site: OpenSite,
) -> None:
    ran, other = await _replicas(open_site, QUICK, CLIENT)
    deleted, stays, deleted_here = [await ran.accepted({"name": str(k)}) for k in range(3)]
    await ran.ended(deleted, stays, deleted_here)
    for site, job_id in ((other, deleted), (ran, deleted_here)):
        assert (await site.client.delete(f"{API}/jobs/{job_id}")).is_success
    assert ran.runner.kept == {deleted, stays}
    await drop_leftovers(ran.runner, ran.service.stores.jobs)
    assert ran.runner.kept == {stays}


async def test_leftovers_are_looked_for_again_and_again(open_site: OpenSite) -> None:
    site: Site = await open_site(replace(QUICK, forget_s=0.01))
    job_id = await site.accepted({})
    await site.ended(job_id)
    await site.service.stores.jobs.delete("local", job_id)
    async with asyncio.timeout(10):
        await site.runner.forgotten.wait()
    assert site.runner.kept == set()
