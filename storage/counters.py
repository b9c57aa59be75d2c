"""Numbers that go on over all of an owner's jobs, whichever router takes them."""

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import METADATA, Database

COUNTERS = sa.Table(
    "counters",
    METADATA,
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("value", sa.BigInteger, nullable=False),
    sa.Column("used_s", sa.Float, nullable=False),
    sa.PrimaryKeyConstraint("owner", "name", name="counters_key"),
    sa.Index("counters_by_use", "used_s"),
)


async def count(connection: AsyncConnection, owner: str, name: str, steps: int = 1) -> int:
    """Move a counter on by `steps`, and return the first of the numbers: 1 of a new one."""
    values = {"owner": owner, "name": name, "value": steps, "used_s": time.time()}
    last = (await connection.execute(_MOVE[connection.dialect.name], values)).scalar_one()
    return int(last) - steps + 1


def _move(insert: Any) -> sa.Executable:
    first = insert(COUNTERS)
    moved = {"value": COUNTERS.c.value + first.excluded.value, "used_s": first.excluded.used_s}
    upsert = first.on_conflict_do_update(index_elements=["owner", "name"], set_=moved)
    executable: sa.Executable = upsert.returning(COUNTERS.c.value)
    return executable


# Written once: to put it together takes longer than to run it.
_MOVE = {"sqlite": _move(sqlite.insert), "postgresql": _move(postgresql.insert)}


class Counters:
    """Counters by owner and name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, owner: str, name: str, steps: int = 1) -> int:
        """The first of `steps` numbers that nobody else gets."""
        async with self._database.writing(quick=True) as connection:
            return await count(connection, owner, name, steps)

    async def remove_all(self, owner: str) -> None:
        """Forget an owner's counters."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(COUNTERS).where(COUNTERS.c.owner == owner))

    async def sweep(self, before_s: float) -> None:
        """Drop what was not used since: it begins at 1 again."""
        old = sa.delete(COUNTERS).where(COUNTERS.c.used_s < before_s)
        async with self._database.writing() as connection:
            await connection.execute(old)
