"""Job records: the accepted request, progress and outcome."""

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from graph.errors import ServiceError
from storage.counters import count
from storage.database import METADATA, Database

JobStatus = Literal["queued", "running", "success", "failed", "cancelled"]
Face = Literal["v7", "hosted", "comfyui"]  # by which API a job was posted
UNFINISHED = ("queued", "running")
OUTCOME = ("status", "started_s", "ended_s", "answer", "error", "last_event")
SAFE_INTEGERS = 2**53  # the integers that JavaScript can hold
SWEPT_AT_ONCE = 500
RETRY_AFTER_S = 5
QUEUE_NUMBER = "job"  # the counter of an owner's places in the queue

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("key_id", sa.String(32)),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.Column("started_s", sa.Float),
    sa.Column("ended_s", sa.Float),
    sa.Column("estimate_s", sa.Float, nullable=False, server_default="0"),
    sa.Column("track_id", sa.String),
    sa.Column("webhook", sa.String),
    sa.Column("base_url", sa.String, nullable=False, server_default=""),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("body_hash", sa.String(64)),
    sa.Column("request", sa.LargeBinary),  # encrypted; kept until the job ends
    sa.Column("answer", sa.JSON),
    sa.Column("error", sa.JSON),
    sa.Column("last_event", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(32)),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_until", sa.Float),  # by the database's clock
    sa.Column("cancel_asked", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("expected_outputs", sa.Integer, nullable=False, server_default="1"),
    sa.Column("ledgers_due", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("face", sa.String(16), nullable=False, server_default="v7"),
    sa.Column("prompt_id", sa.String(36)),
    sa.Column("client_id", sa.String(128)),
    sa.Column("number", sa.Float, nullable=False, server_default="0"),
    sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("workflow_id", sa.String(128)),
    sa.UniqueConstraint("owner", "idempotency_key"),
    sa.Index("jobs_by_owner", "owner", "created_s", "id"),
    sa.Index("jobs_in_line", "status", "owner", "priority", "created_s", "id"),
    sa.Index("jobs_by_end", "ended_s"),
    sa.Index("jobs_by_prompt", "owner", "prompt_id", unique=True),
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


@dataclass(eq=False)
class PromptIdTakenError(ServiceError):
    """A prompt_id that another job of the owner has."""

    status = 409
    code = "prompt_id_taken"
    template = "Another of your jobs has the prompt_id {prompt_id!r}."
    prompt_id: str


@dataclass(eq=False)
class ServiceFullError(ServiceError):
    """All places in the queue are taken. Nothing was accepted."""

    status = 503
    code = "service_full"
    template = "The service is full ({queued} jobs wait); try again in {retry_after_s} s."
    queued: int
    retry_after_s: int


@dataclass(eq=False)
class OwnerQueueFullError(ServiceError):
    """All places that one owner may have in the queue are taken. Nothing was accepted."""

    status = 429
    code = "queue_limit"
    template = "{queued} of your jobs wait, as many as may; try again in {retry_after_s} s."
    queued: int
    retry_after_s: int


@dataclass(frozen=True)
class JobRecord:
    """One row. Times are Unix seconds; `answer` and `error` are sa.JSON, set when the job ends.

    Until then `answer` has `skipped` alone: the outputs of the workflow that are left out.
    """

    owner: str
    id: int = field(default_factory=lambda: 1 + secrets.randbelow(SAFE_INTEGERS - 1))
    key_id: str | None = None  # of the key that pays
    status: JobStatus = "queued"
    priority: int = 0
    created_s: float = field(default_factory=time.time)
    started_s: float | None = None
    ended_s: float | None = None
    estimate_s: float = 0.0  # how long it is expected to run
    expected_outputs: int = 1  # how many files it is expected to save at most
    track_id: str | None = None
    webhook: str | None = None
    base_url: str = ""  # what URLs in its webhook begin with
    idempotency_key: str | None = None
    body_hash: str | None = None  # SHA-256 of the body that the key stands for
    answer: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    last_event: int = 0  # id of the job's final event
    epoch: int = 0  # how often it was begun; who runs it as of an earlier epoch has lost it
    cancel_asked: bool = False
    face: Face = "v7"
    prompt_id: str | None = None  # the UUID by which ComfyUI's API knows it
    client_id: str | None = None  # of ComfyUI's API: whose jobs run one after another
    number: float = 0.0  # its place among the owner's: lower ones begin first
    hidden: bool = False  # the owner took it out of the history of ComfyUI's API
    workflow_id: str | None = None  # of the editor's file that it came from

    @property
    def ended(self) -> bool:
        return self.status not in UNFINISHED

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        return cls(**{column.name: getattr(row, column.name) for column in fields(cls)})


COLUMNS = tuple(JOBS.c[column.name] for column in fields(JobRecord))

# Written once: to put them together takes longer than to run them.
_OF_OWNER = sa.select(*COLUMNS).where(
    JOBS.c.owner == sa.bindparam("this_owner"), JOBS.c.id == sa.bindparam("this_id")
)
_END = sa.update(JOBS).where(
    JOBS.c.id == sa.bindparam("this_id"),
    JOBS.c.epoch == sa.bindparam("this_epoch"),
    JOBS.c.status.in_(UNFINISHED),
)


@dataclass(frozen=True)
class JobFilter:
    """Which of an owner's jobs: one status, or all; those before `before` (created_s, id)."""

    status: JobStatus | None = None
    before: tuple[float, int] | None = None
    limit: int = 50


@dataclass(frozen=True)
class QueueLimits:
    """How many jobs may wait, in all and of one owner."""

    queued: int = 1000
    queued_per_owner: int = 500


class Ledger:
    """Something that is written in the same transaction as a job. Subclasses override."""

    async def accepted(self, connection: AsyncConnection, record: JobRecord) -> None:
        """A job is being recorded.

        Raises:
            ServiceError: it must not be; nothing is accepted.
        """

    async def ended(self, connection: AsyncConnection, record: JobRecord) -> None:
        """A job ends, which happens once."""

    async def deleted(self, connection: AsyncConnection, job_ids: Sequence[int]) -> None:
        """Jobs go, and all that is kept of them."""


class JobRecords:
    """The table of jobs. Each of `ledgers` is written together with it."""

    def __init__(self, database: Database, ledgers: Sequence[Ledger] = ()) -> None:
        self._database = database
        self._ledgers = ledgers

    async def add(
        self,
        record: JobRecord,
        request: bytes | None = None,
        *,
        limits: QueueLimits | None = None,
        lease: Mapping[str, Any] | None = None,
        front: bool = False,
    ) -> JobRecord:
        """Record a job; returns it numbered, or the owner's earlier job of that idempotency key.

        `lease` is the columns of who runs it already; `limits` holds for one that waits. A number
        of 0 becomes the owner's next one; with `front` that is negative, so before all others.

        Raises:
            IdempotencyConflictError: the earlier job had another body.
            PromptIdTakenError: an earlier job has its prompt_id.
            ServiceError: it is not accepted.
        """
        insert = sa.insert(JOBS).values(**lease) if lease else sa.insert(JOBS)
        try:
            async with self._database.writing(quick=True) as connection:
                if limits and record.status == "queued":
                    await _check_place(connection, record.owner, limits)
                if not record.number:
                    number = await count(connection, record.owner, QUEUE_NUMBER)
                    record = replace(record, number=float(-number if front else number))
                await connection.execute(insert, {**asdict(record), "request": request})
                for ledger in self._ledgers:
                    await ledger.accepted(connection, record)
        except IntegrityError:
            if earlier := await self._earlier(record):
                return earlier
            if record.prompt_id and await self._has_prompt(record.owner, record.prompt_id):
                raise PromptIdTakenError(record.prompt_id) from None
            raise
        return record

    async def replayed(self, owner: str, key: str, body_hash: str) -> JobRecord | None:
        """The job that this idempotency key stands for already.

        Raises:
            IdempotencyConflictError: it stands for another body.
        """
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.idempotency_key == key)
        found = await self._first(sa.select(*COLUMNS).where(mine))
        if found and found.body_hash != body_hash:
            raise IdempotencyConflictError(key, found.id)
        return found

    async def get(self, owner: str, job_id: int) -> JobRecord:
        """The owner's job.

        Raises:
            MissingJobError: there is none of that id, or it is another owner's.
        """
        mine = {"this_owner": owner, "this_id": job_id}
        found = await self._first(_OF_OWNER, **mine) if job_id < SAFE_INTEGERS else None
        if found is None:
            raise MissingJobError(str(job_id))
        return found

    async def page(self, owner: str, which: JobFilter) -> tuple[JobRecord, ...]:
        """The owner's jobs, newest first."""
        query = sa.select(*COLUMNS).where(JOBS.c.owner == owner)
        if which.status:
            query = query.where(JOBS.c.status == which.status)
        if which.before:
            created_s, job_id = which.before
            same_time = sa.and_(JOBS.c.created_s == created_s, JOBS.c.id < job_id)
            query = query.where(sa.or_(JOBS.c.created_s < created_s, same_time))
        query = query.order_by(JOBS.c.created_s.desc(), JOBS.c.id.desc()).limit(which.limit)
        async with self._database.reading() as connection:
            return tuple(map(JobRecord.from_row, await connection.execute(query)))

    async def states(self, job_ids: Collection[int]) -> dict[int, tuple[JobStatus, int]]:
        """Status and epoch of those of the jobs that are there."""
        query = sa.select(JOBS.c.id, JOBS.c.status, JOBS.c.epoch).where(JOBS.c.id.in_(job_ids))
        async with self._database.reading() as connection:
            rows = await connection.execute(query)
            return {row.id: (row.status, row.epoch) for row in rows}

    async def end(
        self, record: JobRecord, *, keep_request: bool = False, alone: bool = False
    ) -> bool:
        """Write how the job ended, and all that follows from it; its request is erased.

        `alone` leaves what follows from it to `catch_up`. False: the job is not the record's any
        more (it ended, was deleted, or runs elsewhere), and nothing was written.
        """
        values = {name: getattr(record, name) for name in OUTCOME}
        values |= {"worker": None, "lease_until": None, "ledgers_due": alone}
        if not keep_request:
            values["request"] = None
        values |= {"this_id": record.id, "this_epoch": record.epoch}
        async with self._database.writing(quick=True) as connection:
            changed = await connection.execute(_END, values)
            if changed.rowcount == 0:
                return False
            for ledger in () if alone else self._ledgers:
                await ledger.ended(connection, record)
        return True

    async def catch_up(self) -> None:
        """Write what follows from ends that had to be written alone.

        Raises:
            Exception: what stands against it still; the others are written.
        """
        due = sa.select(*COLUMNS).where(JOBS.c.ledgers_due, JOBS.c.status.not_in(UNFINISHED))
        async with self._database.reading() as connection:
            records = [JobRecord.from_row(row) for row in await connection.execute(due)]
        problems: list[Exception] = []
        for record in records:
            try:
                await self._catch_up(record)
            except Exception as error:  # noqa: BLE001 - raised below, with the others
                problems.append(error)
        if problems:
            raise ExceptionGroup("ends without charge or webhook", problems)  # noqa: TRY003

    async def ask_to_cancel(self, record: JobRecord) -> bool:
        """Tell whichever replica runs the job; False where none does."""
        runs = sa.and_(JOBS.c.id == record.id, JOBS.c.status == "running")
        async with self._database.writing() as connection:
            asked = await connection.execute(sa.update(JOBS).where(runs).values(cancel_asked=True))
        return bool(asked.rowcount)

    async def delete(self, owner: str, job_id: int) -> bool:
        """Remove a job whatever its state; whoever runs it finds that it has lost it."""
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.id == job_id)
        return bool(await self._remove(sa.select(JOBS.c.id).where(mine)))

    async def sweep(self, before_s: float) -> int:
        """Remove jobs that ended before; returns how many."""
        old = sa.select(JOBS.c.id).where(JOBS.c.ended_s < before_s).limit(SWEPT_AT_ONCE)
        total = 0
        while removed := await self._remove(old):
            total += removed
        return total

    async def _catch_up(self, record: JobRecord) -> None:
        this = sa.and_(JOBS.c.id == record.id, JOBS.c.ledgers_due)
        async with self._database.writing() as connection:
            changed = await connection.execute(sa.update(JOBS).where(this), {"ledgers_due": False})
            for ledger in self._ledgers if changed.rowcount else ():
                await ledger.ended(connection, record)

    async def _remove(self, which: Select[Any]) -> int:
        async with self._database.writing() as connection:
            job_ids = [row.id for row in await connection.execute(which)]
            if job_ids:
                await connection.execute(sa.delete(JOBS).where(JOBS.c.id.in_(job_ids)))
                for ledger in self._ledgers:
                    await ledger.deleted(connection, job_ids)
        return len(job_ids)

    async def _earlier(self, record: JobRecord) -> JobRecord | None:
        if record.idempotency_key is None:
            return None
        return await self.replayed(record.owner, record.idempotency_key, record.body_hash or "")

    async def _has_prompt(self, owner: str, prompt_id: str) -> bool:
        this = sa.and_(JOBS.c.owner == owner, JOBS.c.prompt_id == prompt_id)
        return await self._first(sa.select(*COLUMNS).where(this)) is not None

    async def _first(self, query: Select[Any], **which: Any) -> JobRecord | None:
        async with self._database.reading(quick=True) as connection:
            row = (await connection.execute(query, which)).first()
        return JobRecord.from_row(row) if row else None


async def _check_place(connection: AsyncConnection, owner: str, limits: QueueLimits) -> None:
    """Raises: ServiceFullError or OwnerQueueFullError where one more job may not wait."""
    mine = sa.func.coalesce(sa.func.sum(sa.case((JOBS.c.owner == owner, 1), else_=0)), 0)
    query = sa.select(sa.func.count().label("all"), mine.label("mine"))
    row = (await connection.execute(query.where(JOBS.c.status == "queued"))).one()
    if row.all >= limits.queued:
        raise ServiceFullError(row.all, RETRY_AFTER_S)
    if row.mine >= limits.queued_per_owner:
        raise OwnerQueueFullError(row.mine, RETRY_AFTER_S)
