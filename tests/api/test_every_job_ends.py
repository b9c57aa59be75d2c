"""Whatever fails in a job's life, the job ends once, is charged once and has one webhook."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from api.jobs.service import Limits, Stores
from api.keys.access import Caller
from storage.database import Database
from storage.jobs.charges import CHARGES
from storage.jobs.outbox import EVENTS
from storage.jobs.records import JOBS, JobRecords
from storage.keys import Keys, KeyTerms
from tests.api.conftest import PRICES, OpenSite, Site
from tests.api.faults import Fault, FaultyDatabase, How, InjectedError
from tests.fakes_runner import FakeRunner

LIMITS = Limits(running=2, look_s=0.02, watch_s=0.02, lease_s=2.0, stop_s=0.7, deadline_s=2.0)
WITHIN_S = 60.0
LEAVES_S = 3.0  # after so long a caller that waits for an answer goes away
MOST_ATTEMPTS = 5
HOOK = "https://you.example/hook"
TRANSACTIONS = 6  # that write in the life of a job: recorded, ended, and what goes on beside
SLOW_STEPS = ("runner.run", "jobs.end")
STEPS = (
    "requests.encrypt",
    "requests.decrypt",
    "jobs.add",
    "jobs.end",
    "charges.accepted",
    "charges.ended",
    "outbox.ended",
    "outputs.job_folder",
    "outputs.remove",
    "runner.prepare",
    "runner.run",
)


@dataclass(frozen=True)
class Ward:
    """A site whose steps can be made to fail, and the key that pays."""

    site: Site
    runner: FakeRunner
    fault: Fault
    database: FaultyDatabase
    key_id: str

    async def post(self, **workflow: Any) -> int | None:
        """The id of a job; None where it was not accepted."""
        body = {"workflow": workflow, "wait": 0, "webhook": HOOK}
        before = set(await self.rows(sa.select(JOBS.c.id)))
        # The caller sees a 500, or waits and leaves; the job may be recorded all the same.
        with suppress(InjectedError, SQLAlchemyError, TimeoutError):
            async with asyncio.timeout(LEAVES_S):
                await self.site.service.execute(Caller("acme", self.key_id), body)
        new = set(await self.rows(sa.select(JOBS.c.id))) - before
        return new.pop() if new else None

    async def rows(self, query: sa.Select[Any]) -> list[Any]:
        async with self.database.reading() as connection:
            return list((await connection.execute(query)).scalars())

    async def check(self, job_id: int | None) -> str:
        """How the job ended, which has happened once, with one charge and one webhook."""
        if job_id is None:
            assert await self.unfinished() == 0
            return "refused"
        async with asyncio.timeout(WITHIN_S):
            await self.site.service.ended("acme", job_id)
        self.fault.lift()
        self.database.begin(0, "before")
        await self.site.service.stores.jobs.catch_up()
        (status,) = await self.rows(sa.select(JOBS.c.status).where(JOBS.c.id == job_id))
        events = await self.rows(sa.select(EVENTS.c.event_id).where(EVENTS.c.job_id == job_id))
        charge = sa.select(CHARGES.c.settled_s).where(CHARGES.c.job_id == job_id)
        (settled_s,) = await self.rows(charge)
        assert len(events) == 1
        assert settled_s is not None
        assert await self.unfinished() == 0
        spent = sum(await self.rows(sa.select(CHARGES.c.amount)))
        key = await Keys(self.database).get(self.key_id)
        assert (key.reserved, key.spent) == (0, spent)
        answer = await self.site.service.answer("acme", job_id)
        assert answer["status"] in {"success", "failed"}
        assert answer["status"] == "success" or answer["errors"][0]["code"]
        outputs = sa.select(CHARGES.c.amount).where(CHARGES.c.job_id == job_id)
        assert await self.rows(outputs) == [PRICES.of(outputs=len(answer["outputs"]), seconds=0)]
        return str(status)

    async def unfinished(self) -> int:
        return (await Keys(self.database).get(self.key_id)).unfinished


@pytest.fixture
async def ward(open_site: OpenSite) -> Ward:
    fault = Fault()
    made: list[FaultyDatabase] = []

    def make_database(url: str) -> Database:
        made.append(FaultyDatabase(url))
        return made[0]

    def change(stores: Stores) -> Stores:
        ledgers = [fault.of("outbox", stores.outbox), fault.of("charges", stores.charges)]
        return replace(
            stores,
            jobs=fault.of("jobs", JobRecords(stores.database, ledgers)),
            outputs=fault.of("outputs", stores.outputs),
            request_cipher=fault.of("requests", stores.request_cipher),
        )

    runner = FakeRunner()
    site = await open_site(
        LIMITS,
        make_runner=lambda _: fault.of("runner", runner),
        change=change,
        make_database=make_database,
    )
    _, key = await Keys(made[0]).create("acme", KeyTerms(("execute",)))
    return Ward(site, runner, fault, made[0], key.id)


@pytest.mark.parametrize("how", ["before", "after", "always"])
async def test_a_step_that_raises(ward: Ward, how: How) -> None:
    for step in STEPS:
        if (step, how) == ("jobs.end", "always"):
            continue  # nothing can be written: see the next test
        ward.fault.set(step, how)
        await ward.check(await ward.post())
    assert {"charges.ended", "outbox.ended"} <= ward.fault.steps


async def test_an_end_that_cannot_be_written_for_long(ward: Ward) -> None:
    ward.fault.set("jobs.end", "always")
    job_id = await ward.post()
    async with asyncio.timeout(WITHIN_S):
        await ward.fault.many.wait()
    assert len(ward.runner.started) <= MOST_ATTEMPTS
    ward.fault.lift()
    assert await ward.check(job_id) == "failed"


async def test_a_step_that_hangs(ward: Ward) -> None:
    for step in SLOW_STEPS:
        ward.fault.set(step, "hang")
        await ward.check(await ward.post())
        assert ward.fault.met == 1


@pytest.mark.parametrize("how", ["before", "after", "hang"])
async def test_a_transaction_that_fails(ward: Ward, how: How) -> None:
    for number in range(1, TRANSACTIONS + 1):
        ward.database.begin(number, how)
        assert await ward.check(await ward.post()) in {"success", "failed", "refused"}


async def test_a_job_in_line_whose_steps_fail(ward: Ward) -> None:
    steps = ("requests.decrypt", "runner.prepare", "outputs.job_folder", "charges.ended")
    hows: tuple[How, ...] = ("before", "always")
    for step, how in product(steps, hows):
        held = [await ward.post(hold=1) for _ in range(LIMITS.running)]
        waiting = await ward.post()
        ward.fault.set(step, how)
        for job_id in held:
            assert job_id is not None
            await ward.site.service.cancel("acme", job_id)
        await ward.check(waiting)
