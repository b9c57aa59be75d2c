"""Job records: what was accepted, how far it is, what came of it."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import Select

from graph.errors import ServiceError
from storage.database import METADATA, Database

JobStatus = Literal["queued", "running", "success", "failed", "cancelled"]
UNFINISHED = ("queued", "running")
CHANGING = ("status", "started_s", "ended_s", "answer", "error", "last_event")
AFTER_ALL_EVENTS = 2**31 - 1  # the final event's id where the job's own count was lost
SAFE_INTEGERS = 2**53  # the integers that JavaScript can hold

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.Column("started_s", sa.Float),
    sa.Column("ended_s", sa.Float),
    sa.Column("track_id", sa.String),
    sa.Column("webhook", sa.String),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("body_hash", sa.String(64)),
    sa.Column("answer", sa.JSON),
    sa.Column("error", sa.JSON),
    sa.Column("last_event", sa.Integer, nullable=False),
    sa.UniqueConstraint("owner", "idempotency_key"),
    sa.Index("jobs_by_owner", "owner", "created_s", "id"),
    sa.Index("jobs_by_status", "status"),
)


@dataclass(eq=False)
class MissingJobError(ServiceError):
    """A job that is not there, or that is another owner's."""

    status = 404
    code = "job_not_found"
    template = "There is no job {job_id}."
    job_id: str


@dataclass(eq=False)
class IdempotencyConflictError(ServiceError):
    """An Idempotency-Key that came before with another body."""

    status = 409
    code = "idempotency_conflict"
    template = "Idempotency-Key {key!r} was used for another request body (job {job_id})."
    key: str
    job_id: int


@dataclass(frozen=True)
class JobRecord:
    """One row. Times are Unix seconds; `answer` and `error` are sa.JSON, set when the job ends."""

    owner: str
    id: int = field(default_factory=lambda: 1 + secrets.randbelow(SAFE_INTEGERS - 1))
    status: JobStatus = "queued"
    priority: int = 0
    created_s: float = field(default_factory=time.time)
    started_s: float | None = None
    ended_s: float | None = None
    track_id: str | None = None
    webhook: str | None = None
    idempotency_key: str | None = None
    body_hash: str | None = None  # SHA-256 of the body that the key stands for
    answer: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    last_event: int = 0  # id of the job's final event

    @property
    def ended(self) -> bool:
        return self.status not in UNFINISHED

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        return cls(**{column.name: getattr(row, column.name) for column in fields(cls)})


@dataclass(frozen=True)
class JobFilter:
    """Which of an owner's jobs: one status, or all; those before `before` (created_s, id)."""

    status: JobStatus | None = None
    before: tuple[float, int] | None = None
    limit: int = 50


class JobRecords:
    """The table of jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: JobRecord) -> JobRecord:
        """Record a job; returns it itself, or the owner's earlier job of that idempotency key.

        Raises:
            IdempotencyConflictError: the earlier job had another body.
        """
        try:
            async with self._database.writing() as connection:
                await connection.execute(sa.insert(JOBS).values(**asdict(record)))
        except IntegrityError:
            earlier = await self._earlier(record)
            if earlier is None:
                raise
            return earlier
        return record

    async def replayed(self, owner: str, key: str, body_hash: str) -> JobRecord | None:
        """The job that this idempotency key stands for already.

        Raises:
            IdempotencyConflictError: it stands for another body.
        """
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.idempotency_key == key)
        found = await self._first(sa.select(JOBS).where(mine))
        if found and found.body_hash != body_hash:
            raise IdempotencyConflictError(key, found.id)
        return found

    async def get(self, owner: str, job_id: int) -> JobRecord:
        """The owner's job.

        Raises:
            MissingJobError: there is none of that id, or it is another owner's.
        """
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.id == job_id)
        found = await self._first(sa.select(JOBS).where(mine)) if job_id < SAFE_INTEGERS else None
        if found is None:
            raise MissingJobError(str(job_id))
        return found

    async def page(self, owner: str, which: JobFilter) -> tuple[JobRecord, ...]:
        """The owner's jobs, newest first."""
        query = sa.select(JOBS).where(JOBS.c.owner == owner)
        if which.status:
            query = query.where(JOBS.c.status == which.status)
        if which.before:
            created_s, job_id = which.before
            same_time = sa.and_(JOBS.c.created_s == created_s, JOBS.c.id < job_id)
            query = query.where(sa.or_(JOBS.c.created_s < created_s, same_time))
        query = query.order_by(JOBS.c.created_s.desc(), JOBS.c.id.desc()).limit(which.limit)
        async with self._database.reading() as connection:
            return tuple(map(JobRecord.from_row, await connection.execute(query)))

    async def save(self, record: JobRecord) -> None:
        """Write how far the job is: all that may change after it was added."""
        values = {name: getattr(record, name) for name in CHANGING}
        async with self._database.writing() as connection:
            await connection.execute(sa.update(JOBS).where(JOBS.c.id == record.id).values(**values))

    async def fail_unfinished(self, error: Mapping[str, Any]) -> int:
        """Mark jobs that a process left behind when it died as failed; returns how many."""
        left = sa.update(JOBS).where(JOBS.c.status.in_(UNFINISHED))
        values = {
            "status": "failed",
            "error": dict(error),
            "ended_s": time.time(),
            "last_event": AFTER_ALL_EVENTS,
        }
        async with self._database.writing() as connection:
            return (await connection.execute(left.values(**values))).rowcount

    async def _earlier(self, record: JobRecord) -> JobRecord | None:
        if record.idempotency_key is None:
            return None
        return await self.replayed(record.owner, record.idempotency_key, record.body_hash or "")

    async def _first(self, query: Select[Any]) -> JobRecord | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return JobRecord.from_row(row) if row else None
