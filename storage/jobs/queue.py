"""Fair scheduling between owners; within an owner, the highest priority first."""

import heapq
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.jobs.records import JOBS, JobRecord

SHARE_S = 600.0  # what an owner used in this time counts when owners are equal otherwise


@dataclass(frozen=True)
class Load:
    """An owner's queued and running jobs, and its recent usage."""

    queued: int
    queued_s: float  # how long those are expected to run
    running: int
    used_s: float
    oldest_s: float  # when the first of the queued ones was accepted


@dataclass(frozen=True)
class QueuePosition:
    """The position of a queued job; 1 is next."""

    position: int
    running: int  # jobs that run now
    ahead_s: float  # how long those before it are expected to run


def queue_order(loads: Mapping[str, Load]) -> Iterator[str]:
    """The owners in the order in which their queued jobs start, one entry a job.

    The owner with the fewest running jobs first, then the least recent usage, then the oldest job.
    """
    heap = [(one.running, one.used_s, one.oldest_s, owner) for owner, one in loads.items()]
    left = {owner: one.queued for owner, one in loads.items()}
    heapq.heapify(heap)
    while heap:
        running, used_s, oldest_s, owner = heapq.heappop(heap)
        if left[owner] == 0:
            continue
        left[owner] -= 1
        yield owner
        heapq.heappush(heap, (running + 1, used_s, oldest_s, owner))


async def read_loads(connection: AsyncConnection) -> dict[str, Load]:
    """The loads of all owners that have a queued or running job."""
    seconds, oldest = sa.func.sum(JOBS.c.estimate_s), sa.func.min(JOBS.c.created_s)
    unfinished = await connection.execute(
        sa.select(JOBS.c.owner, JOBS.c.status, sa.func.count(), seconds, oldest)
        .where(JOBS.c.status.in_(("queued", "running")))
        .group_by(JOBS.c.owner, JOBS.c.status)
    )
    found: dict[str, dict[str, Any]] = {}
    for owner, status, count, estimate_s, oldest_s in unfinished:
        found.setdefault(owner, {})[status] = (count, estimate_s, oldest_s)
    used = await _used(connection) if len(found) > 1 else {}
    nobody = (0, 0.0, 0.0)
    return {
        owner: Load(
            queued=one.get("queued", nobody)[0],
            queued_s=one.get("queued", nobody)[1],
            running=one.get("running", nobody)[0],
            used_s=used.get(owner, 0.0),
            oldest_s=one.get("queued", nobody)[2],
        )
        for owner, one in found.items()
    }


async def read_position(connection: AsyncConnection, record: JobRecord) -> QueuePosition:
    """The position of a queued job."""
    loads = await read_loads(connection)
    running = sum(load.running for load in loads.values())
    mine_before = 1 + await _ahead_of_own(connection, record)
    position = 0
    for position, owner in enumerate(queue_order(loads), 1):  # noqa: B007 - used after the loop
        mine_before -= owner == record.owner
        if mine_before == 0:
            break
    queued = sum(load.queued for load in loads.values())
    mean_s = sum(load.queued_s for load in loads.values()) / max(1, queued)
    return QueuePosition(max(1, position), running, mean_s * max(0, position - 1))


def next_job_of(owner: str) -> sa.Select[Any]:
    """The owner's next job to start; jobs of one client run one after another."""
    earlier = JOBS.alias("earlier")
    goes_before = sa.tuple_(earlier.c.number, earlier.c.id) < sa.tuple_(JOBS.c.number, JOBS.c.id)
    held_up = sa.exists().where(
        earlier.c.owner == owner,
        earlier.c.client_id == JOBS.c.client_id,
        sa.or_(
            earlier.c.status == "running",
            sa.and_(earlier.c.status == "queued", goes_before),
        ),
    )
    return (
        sa.select(JOBS.c.id)
        .where(JOBS.c.status == "queued", JOBS.c.owner == owner, ~held_up)
        .order_by(JOBS.c.priority.desc(), JOBS.c.number, JOBS.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=JOBS)
    )


async def _ahead_of_own(connection: AsyncConnection, record: JobRecord) -> int:
    same = sa.and_(
        JOBS.c.priority == record.priority,
        sa.or_(
            JOBS.c.number < record.number,
            sa.and_(JOBS.c.number == record.number, JOBS.c.id < record.id),
        ),
    )
    before = sa.or_(JOBS.c.priority > record.priority, same)
    mine = sa.and_(JOBS.c.status == "queued", JOBS.c.owner == record.owner)
    query = sa.select(sa.func.count()).where(mine, before)
    return int((await connection.execute(query)).scalar_one())


async def _used(connection: AsyncConnection) -> dict[str, float]:
    """Seconds that each owner's jobs ran recently."""
    seconds = sa.func.sum(JOBS.c.ended_s - sa.func.coalesce(JOBS.c.started_s, JOBS.c.ended_s))
    lately = JOBS.c.ended_s > time.time() - SHARE_S
    rows = await connection.execute(
        sa.select(JOBS.c.owner, seconds).where(lately).group_by(JOBS.c.owner)
    )
    return {owner: float(used_s or 0.0) for owner, used_s in rows}
