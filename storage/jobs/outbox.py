"""The webhook outbox: events written in the transaction that ends their job, and their attempts.

An event is sent until a receiver takes it or the tries are used up. Who sends one first moves its
next attempt on, so that no two replicas send it at once, and a dead one's is sent again.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from graph.errors import ServiceError
from storage.database import METADATA, Database
from storage.jobs.records import JobRecord, Ledger

SENDING_S = 60.0  # longer than a receiver may take

EVENTS = sa.Table(
    "webhook_events",
    METADATA,
    sa.Column("event_id", sa.String(40), primary_key=True),
    sa.Column("job_id", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("url", sa.String, nullable=False),
    sa.Column("base_url", sa.String, nullable=False),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt_s", sa.Float),  # NULL: there will be none
    sa.Column("delivered_s", sa.Float),
    sa.Index("webhook_events_by_job", "job_id"),
    sa.Index("webhook_events_by_next_attempt", "next_attempt_s"),
)
DELIVERIES = sa.Table(
    "webhook_deliveries",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("event_id", sa.String(40), nullable=False),
    sa.Column("job_id", sa.BigInteger, nullable=False),
    sa.Column("at_s", sa.Float, nullable=False),
    sa.Column("took_s", sa.Float, nullable=False),
    sa.Column("status", sa.Integer),  # NULL: there was no answer
    sa.Column("problem", sa.String),
    sa.Index("webhook_deliveries_by_job", "job_id", "at_s"),
)


@dataclass(eq=False)
class MissingEventError(ServiceError):
    """A webhook event that the job does not have."""

    status = 404
    code = "event_not_found"
    template = "There is no webhook event {event_id!r} of job {job_id}."
    event_id: str
    job_id: int


@dataclass(frozen=True)
class WebhookEvent:
    """One event. `attempts` counts the one that is being made."""

    event_id: str
    job_id: int
    owner: str
    url: str
    base_url: str
    created_s: float
    attempts: int
    next_attempt_s: float | None
    delivered_s: float | None

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        return cls(**{column.name: getattr(row, column.name) for column in fields(cls)})


@dataclass(frozen=True)
class Delivery:
    """One attempt to send an event: the receiver's status, or what went wrong."""

    event_id: str
    job_id: int
    at_s: float
    took_s: float
    status: int | None = None
    problem: str | None = None


class Outbox(Ledger):
    """The tables of webhooks. An event of which nothing is heard for `sending_s` is sent again."""

    def __init__(self, database: Database, *, sending_s: float = SENDING_S) -> None:
        self._database = database
        self._sending_s = sending_s

    async def ended(self, connection: AsyncConnection, record: JobRecord) -> None:
        """Write down that the job's caller is to be told."""
        if record.webhook:
            now_s = time.time()
            event = {
                "event_id": f"evt_{uuid.uuid4().hex}",
                "job_id": record.id,
                "owner": record.owner,
                "url": record.webhook,
                "base_url": record.base_url,
                "created_s": now_s,
                "attempts": 0,
                "next_attempt_s": now_s,
            }
            await connection.execute(sa.insert(EVENTS).values(event))

    async def deleted(self, connection: AsyncConnection, job_ids: Sequence[int]) -> None:
        for table in (EVENTS, DELIVERIES):
            await connection.execute(sa.delete(table).where(table.c.job_id.in_(job_ids)))

    async def take_due(self, most: int, most_attempts: int = 1000) -> tuple[WebhookEvent, ...]:
        """Events whose time has come, to be sent now by the caller alone.

        After `most_attempts` there is no other, though none was ever recorded.
        """
        now_s = time.time()
        last = EVENTS.c.attempts + 1 >= most_attempts
        again_s = sa.case((last, sa.null()), else_=now_s + self._sending_s)
        due = (
            sa.select(EVENTS.c.event_id)
            .where(EVENTS.c.next_attempt_s <= now_s)
            .order_by(EVENTS.c.next_attempt_s)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        async with self._database.writing() as connection:
            ids = [row.event_id for row in await connection.execute(due)]
            if not ids:
                return ()
            taken = await connection.execute(
                sa.update(EVENTS)
                .where(EVENTS.c.event_id.in_(ids))
                .values(next_attempt_s=again_s, attempts=EVENTS.c.attempts + 1)
                .returning(EVENTS)
            )
            return tuple(map(WebhookEvent.from_row, taken))

    async def next_s(self) -> float | None:
        """When the next event is due; None: there is none."""
        async with self._database.reading() as connection:
            found = await connection.execute(sa.select(sa.func.min(EVENTS.c.next_attempt_s)))
            next_s: float | None = found.scalar_one()
            return next_s

    async def oldest_waits_s(self) -> float:
        """How long the oldest event that is still to be delivered has waited; 0: there is none."""
        waiting = sa.and_(EVENTS.c.next_attempt_s.is_not(None), EVENTS.c.delivered_s.is_(None))
        async with self._database.reading() as connection:
            found = await connection.execute(
                sa.select(sa.func.min(EVENTS.c.created_s)).where(waiting)
            )
            created_s: float | None = found.scalar_one()
        return 0.0 if created_s is None else max(0.0, time.time() - created_s)

    async def record(
        self, delivery: Delivery, *, taken: bool, next_attempt_s: float | None
    ) -> None:
        """Write down an attempt: whether the receiver took the event, and when to try again."""
        values: dict[str, Any] = {"next_attempt_s": next_attempt_s}
        if taken:
            values["delivered_s"] = delivery.at_s
        this = EVENTS.c.event_id == delivery.event_id
        async with self._database.writing() as connection:
            changed = await connection.execute(sa.update(EVENTS).where(this).values(values))
            if changed.rowcount:  # else the job was deleted meanwhile
                row = {**asdict(delivery), "id": uuid.uuid4().hex}
                await connection.execute(sa.insert(DELIVERIES).values(row))

    async def events(self, job_id: int) -> tuple[WebhookEvent, ...]:
        query = sa.select(EVENTS).where(EVENTS.c.job_id == job_id).order_by(EVENTS.c.created_s)
        async with self._database.reading() as connection:
            return tuple(map(WebhookEvent.from_row, await connection.execute(query)))

    async def deliveries(self, job_id: int) -> tuple[Delivery, ...]:
        """Every attempt for a job, in order."""
        names = [column.name for column in fields(Delivery)]
        columns = [DELIVERIES.c[name] for name in names]
        query = sa.select(*columns).where(DELIVERIES.c.job_id == job_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(DELIVERIES.c.at_s))
            return tuple(Delivery(*row) for row in rows)

    async def replay(self, job_id: int, event_id: str) -> None:
        """Have an event sent once more, delivered or not, with all its tries.

        Raises:
            MissingEventError: the job has no such event.
        """
        if not event_id.isprintable():  # a NUL, which PostgreSQL does not even look for
            raise MissingEventError(event_id[:80], job_id)
        this = sa.and_(EVENTS.c.event_id == event_id, EVENTS.c.job_id == job_id)
        again = {"next_attempt_s": time.time(), "attempts": 0}
        async with self._database.writing() as connection:
            changed = await connection.execute(sa.update(EVENTS).where(this).values(again))
        if changed.rowcount == 0:
            raise MissingEventError(event_id[:80], job_id)
