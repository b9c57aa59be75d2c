"""Jobs as ComfyUI's API lists them: its queue, its history, and the list of both."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from graph.digits import whole_number
from storage.database import Database
from storage.jobs.records import (
    COLUMNS,
    JOBS,
    SAFE_INTEGERS,
    UNFINISHED,
    JobRecord,
    JobStatus,
    MissingJobError,
)

LONGEST_ID = 16  # digits
SortBy = Literal["created_at", "execution_duration"]


@dataclass(frozen=True)
class PromptJob:
    """A job, and its request as it was stored, where it is kept."""

    record: JobRecord
    request: bytes | None


@dataclass(frozen=True)
class PromptFilter:
    """Which of an owner's jobs, in which order."""

    statuses: Collection[JobStatus] = ()  # all if none
    workflow_id: str | None = None
    sort_by: SortBy = "created_at"
    ascending: bool = False
    limit: int | None = None
    offset: int = 0


class Prompts:
    """An owner's jobs, of whichever API. Those without a prompt_id are known by their number."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, owner: str, prompt_id: str) -> PromptJob:
        """The owner's job of that name.

        Raises:
            MissingJobError: there is none, or it is another owner's.
        """
        number = whole_number(prompt_id, LONGEST_ID)
        named = JOBS.c.prompt_id == prompt_id
        if number is not None and number < SAFE_INTEGERS:
            named = sa.or_(named, sa.and_(JOBS.c.id == number, JOBS.c.prompt_id.is_(None)))
        found = await self._jobs(sa.and_(JOBS.c.owner == owner, named))
        if not found:
            raise MissingJobError(prompt_id[:80])
        return found[0]

    async def unfinished(self, owner: str) -> list[PromptJob]:
        """What runs and what waits, in the order in which it is begun."""
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.status.in_(UNFINISHED))
        return await self._jobs(mine, JOBS.c.priority.desc(), JOBS.c.number, JOBS.c.id)

    async def remaining(self, owner: str) -> int:
        """How many of the owner's jobs run and wait."""
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.status.in_(UNFINISHED))
        query = sa.select(sa.func.count()).where(mine)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def history(self, owner: str, *, offset: int | None, limit: int) -> list[PromptJob]:
        """Ended jobs, the oldest first; without an `offset` the newest so many."""
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.status.not_in(UNFINISHED), ~JOBS.c.hidden)
        if offset is None:
            newest = await self._jobs(mine, JOBS.c.ended_s.desc(), JOBS.c.id.desc(), limit=limit)
            return newest[::-1]
        return await self._jobs(mine, JOBS.c.ended_s, JOBS.c.id, limit=limit, offset=offset)

    async def hide(self, owner: str, prompt_ids: Sequence[str] | None) -> None:
        """Take ended jobs out of the history, all or some; what was kept of their requests goes."""
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.status.not_in(UNFINISHED))
        if prompt_ids is not None:
            numbers = [whole_number(one, LONGEST_ID) for one in prompt_ids]
            known = [one for one in numbers if one is not None and one < SAFE_INTEGERS]
            unnamed = sa.and_(JOBS.c.prompt_id.is_(None), JOBS.c.id.in_(known))
            mine = sa.and_(mine, sa.or_(JOBS.c.prompt_id.in_(prompt_ids), unnamed))
        gone = sa.update(JOBS).where(mine).values(hidden=True, request=None)
        async with self._database.writing() as connection:
            await connection.execute(gone)

    async def page(self, owner: str, which: PromptFilter) -> tuple[list[JobRecord], int]:
        """A page of the owner's jobs without their requests, and how many there are in all."""
        mine = sa.and_(JOBS.c.owner == owner, ~JOBS.c.hidden)
        if which.statuses:
            mine = sa.and_(mine, JOBS.c.status.in_(which.statuses))
        if which.workflow_id is not None:
            mine = sa.and_(mine, JOBS.c.workflow_id == which.workflow_id)
        key: sa.ColumnElement[float] = JOBS.c.created_s
        if which.sort_by == "execution_duration":
            key = sa.func.coalesce(JOBS.c.ended_s - JOBS.c.started_s, 0.0)
        order = (key, JOBS.c.id) if which.ascending else (key.desc(), JOBS.c.id.desc())
        query = sa.select(*COLUMNS).where(mine).order_by(*order)
        query = query.limit(which.limit).offset(which.offset)
        async with self._database.reading() as connection:
            total = await connection.execute(sa.select(sa.func.count()).where(mine))
            rows = await connection.execute(query)
            return [JobRecord.from_row(row) for row in rows], int(total.scalar_one())

    async def _jobs(
        self,
        which: sa.ColumnElement[bool],
        *order: sa.ColumnElement[object],
        limit: int | None = None,
        offset: int = 0,
    ) -> list[PromptJob]:
        query = sa.select(*COLUMNS, JOBS.c.request).where(which).order_by(*order)
        async with self._database.reading() as connection:
            rows: Iterable[sa.Row[Any]] = await connection.execute(
                query.limit(limit).offset(offset)
            )
            return [PromptJob(JobRecord.from_row(row), row.request) for row in rows]
