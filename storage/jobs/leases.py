"""Leases on jobs: a router renews its leases; an expired one lets another router take over.

Each time a job is begun its epoch rises. Whatever a replica writes about a job says the epoch in
which it began it, so one that lost its lease, and does not know yet, changes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.jobs.queue import QueuePosition, next_job_of, queue_order, read_loads, read_position
from storage.jobs.records import COLUMNS, JOBS, JobRecord


@dataclass(frozen=True)
class Claim:
    """A job that this replica is to run, and its request as it was stored."""

    record: JobRecord
    request: bytes


@dataclass(frozen=True)
class Expired:
    """Jobs whose lease expired: put back in the queue, or still to be ended."""

    requeued: int
    hopeless: tuple[JobRecord, ...]  # attempted too often, or to be cancelled


class JobLeases:
    """The leases of one replica, `worker`."""

    def __init__(
        self, database: Database, worker: str, *, lease_s: float = 15.0, most_epochs: int = 5
    ) -> None:
        self.lease_s = lease_s
        self._database = database
        self._worker = worker
        self.most_epochs = most_epochs

    def columns(self) -> dict[str, Any]:
        """What a row says of a job that this replica runs from now on."""
        return {"worker": self._worker, "lease_until": self._database.now() + self.lease_s}

    async def claim(self, most: int, now_s: float) -> tuple[Claim, ...]:
        """Start the next jobs of the queue, at most so many."""
        claimed: list[Claim] = []
        held_up: set[str] = set()  # owners whose jobs wait for others of theirs, or are being taken
        async with self._database.writing() as connection:
            for owner in queue_order(await read_loads(connection)):
                if len(claimed) == most:
                    break
                if owner in held_up:
                    continue
                found = (await connection.execute(next_job_of(owner))).first()
                if found is None:
                    held_up.add(owner)
                else:
                    claimed.append(await self._take(connection, found.id, now_s))
        return tuple(claimed)

    async def held(self) -> dict[int, tuple[int, bool]]:
        """Of each job that this replica runs: its epoch, and whether it is to be cancelled."""
        query = sa.select(JOBS.c.id, JOBS.c.epoch, JOBS.c.cancel_asked).where(self._mine())
        async with self._database.reading(quick=True) as connection:
            rows = await connection.execute(query)
            return {row.id: (row.epoch, row.cancel_asked) for row in rows}

    async def queued(self) -> int:
        """How many jobs wait, of all owners."""
        query = sa.select(sa.func.count()).where(JOBS.c.status == "queued")
        async with self._database.reading(quick=True) as connection:
            return int((await connection.execute(query)).scalar_one())

    async def queue_position(self, record: JobRecord) -> QueuePosition:
        """The position of a queued job."""
        async with self._database.reading() as connection:
            return await read_position(connection, record)

    async def renew(self) -> None:
        """Hold on to all that this replica runs."""
        async with self._database.writing() as connection:
            await connection.execute(sa.update(JOBS).where(self._mine()).values(self.columns()))

    async def release(self) -> None:
        """Put all jobs of this replica back in the queue, for others."""
        async with self._database.writing() as connection:
            await connection.execute(sa.update(JOBS).where(self._mine()).values(_IN_LINE))

    async def put_back(self, job_ids: Collection[int]) -> Expired:
        """Put jobs of this replica that it does not run back in the queue."""
        return await self._again(sa.and_(self._mine(), JOBS.c.id.in_(job_ids)))

    async def take_up_expired(self) -> Expired:
        """Put jobs back in the queue whose replica is gone."""
        return await self._again(
            sa.and_(
                JOBS.c.status == "running",
                JOBS.c.lease_until < self._database.now(),
                JOBS.c.worker != self._worker,  # a database that stalls does not end its own user
            )
        )

    async def _again(self, these: sa.ColumnElement[bool]) -> Expired:
        query = sa.select(*COLUMNS).where(these).with_for_update(skip_locked=True)
        async with self._database.writing() as connection:
            records = [JobRecord.from_row(row) for row in await connection.execute(query)]
            hopeless = tuple(
                one for one in records if one.cancel_asked or one.epoch >= self.most_epochs
            )
            again = [one.id for one in records if one not in hopeless]
            if again:
                which = sa.and_(JOBS.c.id.in_(again), these)
                await connection.execute(sa.update(JOBS).where(which).values(_IN_LINE))
        return Expired(len(again), hopeless)

    async def _take(self, connection: AsyncConnection, job_id: int, now_s: float) -> Claim:
        begun = {"status": "running", "epoch": JOBS.c.epoch + 1, "started_s": now_s}
        row = (
            await connection.execute(
                sa.update(JOBS)
                .where(JOBS.c.id == job_id)
                .values({**begun, **self.columns()})
                .returning(*COLUMNS, JOBS.c.request)
            )
        ).one()
        return Claim(JobRecord.from_row(row), row.request or b"")

    def _mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(JOBS.c.worker == self._worker, JOBS.c.status == "running")


_IN_LINE: Mapping[str, Any] = {"status": "queued", "worker": None, "lease_until": None}
