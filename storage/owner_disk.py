"""Disk usage of each owner (outputs, uploads, models), within a quota.

Outputs and uploads are counted in a row of the database as they come and go, so no request walks a
folder; the sweep, which lists all files anyway, sets the count right again. Models have a table of
their own, with their sizes.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import METADATA, Database
from storage.disk_quota import DiskQuota, DiskQuotaError
from storage.files import Files
from storage.models.owned import OWNED_MODELS
from storage.models.uploads import MODEL_UPLOADS, UNDER_WAY

KINDS = ("outputs", "uploads")  # what keys begin with; the owner comes next
OWNER_DISK = sa.Table(
    "owner_disk",
    METADATA,
    sa.Column("owner", sa.String(64), primary_key=True),
    sa.Column("used_bytes", sa.BigInteger, nullable=False),
)


class OwnerDisk:
    """The table of what owners' files take."""

    def __init__(self, database: Database, quota: DiskQuota | None = None) -> None:
        self.quota = quota or DiskQuota()
        self._database = database
        self._differed: dict[str, tuple[int | None, int]] = {}  # at the last look

    async def used(self, owner: str) -> int:
        """What all files of an owner take, models on their way included."""
        async with self._database.reading() as connection:
            return await _used(connection, owner)

    async def left(self, owner: str) -> int:
        """How many bytes more the owner may store."""
        return max(self.quota.of(owner) - await self.used(owner), 0)

    async def check(self, owner: str, size: int) -> None:
        """Look whether so many bytes more fit, for what is counted elsewhere.

        Raises:
            DiskQuotaError: they do not.
        """
        async with self._database.reading() as connection:
            used, limit = await _used(connection, owner), self.quota.of(owner)
        if used + size > limit:
            raise DiskQuotaError(used, limit, size)

    async def take(self, owner: str, size: int) -> None:
        """Count a file that is about to be written.

        Raises:
            DiskQuotaError: it does not fit, and was not counted.
        """
        async with self._database.writing(quick=True) as connection:
            taking = _TAKING[connection.dialect.name]
            row = (await connection.execute(taking, {"whose": owner, "more": size})).one()
            used, limit = _sum(row), self.quota.of(owner)
            if used > limit:  # this takes it all back
                raise DiskQuotaError(used - size, limit, size)

    async def give_back(self, owner: str, size: int) -> None:
        """Count a file no more."""
        column = OWNER_DISK.c
        less = sa.case((column.used_bytes > size, column.used_bytes - size), else_=0)
        query = sa.update(OWNER_DISK).where(column.owner == owner).values(used_bytes=less)
        if size:
            async with self._database.writing() as connection:
                await connection.execute(query)

    async def forget(self, owner: str) -> None:
        """Count nothing of an owner whose files were removed."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(OWNER_DISK).where(OWNER_DISK.c.owner == owner))

    async def set_right(self, files: Files) -> None:
        """Look what is there, and write it in place of what was counted.

        A file is counted before it is written, so a count may be right that differs from what is
        there. An owner's is changed only where the last look, minutes ago, found the same two
        numbers: no file takes so long.
        """
        query = sa.select(OWNER_DISK.c.owner, OWNER_DISK.c.used_bytes)
        async with self._database.reading() as connection:
            counted = {row.owner: row.used_bytes for row in await connection.execute(query)}
        there = await asyncio.to_thread(bytes_of_owners, files)
        found = {owner: (counted.get(owner), there.get(owner, 0)) for owner in counted | there}
        differing = {owner: pair for owner, pair in found.items() if pair[0] != pair[1]}
        for owner, (before, now) in differing.items():
            if self._differed.get(owner) == (before, now):
                await self._replace(owner, before, now)
        self._differed = differing

    async def _replace(self, owner: str, before: int | None, now: int) -> None:
        column = OWNER_DISK.c
        same = sa.and_(column.owner == owner, column.used_bytes == before)
        with suppress(IntegrityError):  # the owner's first file was stored meanwhile
            async with self._database.writing() as connection:
                if before is None:
                    row = {"owner": owner, "used_bytes": now}
                    await connection.execute(sa.insert(OWNER_DISK).values(**row))
                else:
                    query = sa.update(OWNER_DISK).where(same).values(used_bytes=now)
                    await connection.execute(query)


def bytes_of_owners(files: Files) -> dict[str, int]:
    """What owners' outputs and uploads take, by listing all of them. Blocks."""
    sizes: Counter[str] = Counter()
    for kind in KINDS:
        for file in files.list(f"{kind}/"):
            sizes[file.key.split("/")[1]] += file.size
    return dict(sizes)


async def _used(connection: AsyncConnection, owner: str) -> int:
    """What files, models and models on their way take."""
    return _sum((await connection.execute(_USED, {"whose": owner})).one())


def _sum(row: Iterable[Any]) -> int:
    return sum(int(size or 0) for size in row)


# Written once: to put them together takes longer than to run them.
_WHOSE = sa.bindparam("whose", type_=sa.String)
_MODELS = (
    sa.select(sa.func.sum(OWNED_MODELS.c.size))
    .where(OWNED_MODELS.c.owner == _WHOSE)
    .scalar_subquery(),
    sa.select(sa.func.sum(MODEL_UPLOADS.c.size))
    .where(MODEL_UPLOADS.c.owner == _WHOSE, MODEL_UPLOADS.c.state.in_(UNDER_WAY))
    .scalar_subquery(),
)
_USED = sa.select(
    sa.select(sa.func.sum(OWNER_DISK.c.used_bytes))
    .where(OWNER_DISK.c.owner == _WHOSE)
    .scalar_subquery(),
    *_MODELS,
)


def _taking(insert: Any) -> sa.Executable:
    """Count bytes, and tell what is used then."""
    first = insert(OWNER_DISK).values(owner=_WHOSE, used_bytes=sa.bindparam("more"))
    more = {"used_bytes": OWNER_DISK.c.used_bytes + first.excluded.used_bytes}
    counted = first.on_conflict_do_update(index_elements=["owner"], set_=more)
    executable: sa.Executable = counted.returning(OWNER_DISK.c.used_bytes, *_MODELS)
    return executable


_TAKING = {"sqlite": _taking(sqlite.insert), "postgresql": _taking(postgresql.insert)}
