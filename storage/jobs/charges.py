"""Charges of jobs: reserved before they are accepted, settled when they end.

A charge is written in the transaction that records its job, and settled in the one that records the
job's end, so that whatever process dies when, a job is paid once and no reservation is left over.
The check of a key's limits and the taking are one statement: of jobs that come at once, no more are
accepted than the limits allow.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from graph.errors import ServiceError
from storage.database import METADATA, Database
from storage.jobs.money import amount, micros
from storage.keys import API_KEYS, InvalidKeyError

RETRY_AFTER_S = 5
CHARGES = sa.Table(
    "charges",
    METADATA,
    sa.Column("job_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("key_id", sa.String(16)),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.Column("settled_s", sa.Float),
    sa.Column("amount", sa.BigInteger),
    sa.Column("outputs", sa.Integer),
    sa.Column("seconds", sa.Float),
    sa.Index("charges_by_owner", "owner", "created_s"),
    sa.Index("charges_by_settled_s", "settled_s", "created_s"),
)


@dataclass(eq=False)
class BudgetSpentError(ServiceError):
    """A job that costs more than the key's budget has left. Nothing was accepted."""

    status = 402
    code = "budget_spent"
    template = (
        "This job may cost {price:g}, and of this key's budget of {budget:g}, {spent:g} is spent "
        "and {reserved:g} reserved for unfinished jobs."
    )
    price: float
    budget: float
    spent: float
    reserved: float


@dataclass(eq=False)
class ConcurrencyLimitError(ServiceError):
    """As many jobs of the key wait or run as may. Nothing was accepted."""

    status = 429
    code = "concurrency_limit"
    template = "This key may have {limit} unfinished jobs at once; try again in {retry_after_s} s."
    limit: int
    retry_after_s: int


@dataclass(frozen=True)
class Prices:
    """What an output and a second of running cost, in one currency."""

    per_output: float = 0.0
    per_second: float = 0.0
    currency: str = "USD"

    @property
    def free(self) -> bool:
        return not (self.per_output or self.per_second)

    def of(self, *, outputs: int, seconds: float) -> int:
        """The price in millionths."""
        return micros(self.per_output) * outputs + round(micros(self.per_second) * seconds)


@dataclass(frozen=True)
class Usage:
    """What an owner's jobs took. `spent` is in millionths."""

    jobs: int
    unfinished: int
    outputs: int
    seconds: float
    spent: int


@dataclass(frozen=True)
class Charge:
    """What a job that is being accepted may cost; `key_id` pays, where there is one."""

    job_id: int
    owner: str
    key_id: str | None
    reserved: int
    created_s: float


@dataclass(frozen=True)
class Taken:
    """What a job that has ended took, and what it costs for that."""

    outputs: int = 0
    seconds: float = 0.0
    amount: int = 0


async def reserve(connection: AsyncConnection, charge: Charge) -> None:
    """Write a charge, and take it and a place among the unfinished jobs from its key.

    Raises:
        BudgetSpentError, ConcurrencyLimitError: 402, 429.
    """
    if charge.key_id is not None:
        await _take(connection, charge.key_id, charge.reserved)
    await connection.execute(_CHARGE, asdict(charge))


async def reserve_more(connection: AsyncConnection, job_id: int, needed: int) -> None:
    """Raise what is reserved for an unfinished job to `needed`, and take that from its key.

    Raises:
        BudgetSpentError: the key's budget has not that much left.
    """
    charge, key = CHARGES.c, API_KEYS.c
    this = sa.and_(charge.job_id == job_id, charge.settled_s.is_(None), charge.reserved < needed)
    query = sa.select(charge.key_id, charge.reserved).where(this).with_for_update()
    if (row := (await connection.execute(query)).first()) is None:
        return
    await connection.execute(sa.update(CHARGES).where(this).values(reserved=needed))
    more = needed - row.reserved
    left = sa.or_(key.budget.is_(None), key.spent + key.reserved + more <= key.budget)
    mine = sa.update(API_KEYS).where(key.id == row.key_id)
    taken = await connection.execute(mine.where(left).values(reserved=key.reserved + more))
    if row.key_id is not None and taken.rowcount == 0:
        found = (await connection.execute(sa.select(API_KEYS).where(key.id == row.key_id))).first()
        raise _refusal(found, more)


async def settle(connection: AsyncConnection, job_ids: Sequence[int], taken: Taken | None) -> None:
    """Settle those of the jobs' charges that are not settled yet.

    None: what they took is not known, and they cost what was reserved for them.
    """
    key = API_KEYS.c
    facts: dict[str, Any] = {"ids": job_ids, "settled_s": time.time(), "outputs": 0, "seconds": 0.0}
    if taken:
        settled = await connection.execute(_SETTLE, facts | asdict(taken))
    else:
        settled = await connection.execute(_SETTLE_UNKNOWN, facts)
    for row in settled.all():
        if row.key_id is not None:
            left = {
                "unfinished": key.unfinished - 1,
                "reserved": key.reserved - row.reserved,
                "spent": key.spent + (taken.amount if taken else row.reserved),
            }
            await connection.execute(sa.update(API_KEYS).where(key.id == row.key_id).values(**left))


# Written once: to put them together takes longer than to run them.
_CHARGE = sa.insert(CHARGES)
_SETTLE = (
    sa.update(CHARGES)
    .where(CHARGES.c.job_id.in_(sa.bindparam("ids", expanding=True)), CHARGES.c.settled_s.is_(None))
    .returning(CHARGES.c.key_id, CHARGES.c.reserved)
)
_SETTLE_UNKNOWN = _SETTLE.values(amount=CHARGES.c.reserved)


async def usage(database: Database, owner: str) -> Usage:
    """What all jobs of an owner took, deleted ones too."""
    charge = CHARGES.c
    query = sa.select(
        sa.func.count().label("jobs"),
        sa.func.count().filter(charge.settled_s.is_(None)).label("unfinished"),
        sa.func.coalesce(sa.func.sum(charge.outputs), 0).label("outputs"),
        sa.func.coalesce(sa.func.sum(charge.seconds), 0.0).label("seconds"),
        sa.func.coalesce(sa.func.sum(charge.amount), 0).label("spent"),
    ).where(charge.owner == owner)
    async with database.reading() as connection:
        row = (await connection.execute(query)).one()
    return Usage(row.jobs, row.unfinished, int(row.outputs), row.seconds, int(row.spent))


async def _take(connection: AsyncConnection, key_id: str, reserved: int) -> None:
    """Take `reserved` and a place from a key; the check and the taking are one statement."""
    key = API_KEYS.c
    left = sa.or_(key.budget.is_(None), key.spent + key.reserved + reserved <= key.budget)
    place = sa.or_(key.concurrency.is_(None), key.unfinished < key.concurrency)
    taken = await connection.execute(
        sa.update(API_KEYS)
        .where(key.id == key_id, left, place)
        .values(unfinished=key.unfinished + 1, reserved=key.reserved + reserved)
    )
    if taken.rowcount == 0:
        row = (await connection.execute(sa.select(API_KEYS).where(key.id == key_id))).first()
        raise _refusal(row, reserved)


def _refusal(key: Row[Any] | None, reserved: int) -> ServiceError:
    if key is None:  # its owner left meanwhile
        return InvalidKeyError("unknown")
    if key.budget is not None and key.spent + key.reserved + reserved > key.budget:
        return BudgetSpentError(*map(amount, (reserved, key.budget, key.spent, key.reserved)))
    return ConcurrencyLimitError(key.concurrency, RETRY_AFTER_S)


async def forget_charges(database: Database, owner: str) -> None:
    """Remove what an owner's jobs took."""
    async with database.writing() as connection:
        await connection.execute(sa.delete(CHARGES).where(CHARGES.c.owner == owner))
