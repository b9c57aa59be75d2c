"""The editor's settings of each owner: JSON values by name, in the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from graph.errors import ServiceError
from storage.database import METADATA, Database

LONGEST_NAME = 200
USER_SETTINGS = sa.Table(
    "user_settings",
    METADATA,
    sa.Column("owner", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(LONGEST_NAME), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


@dataclass(frozen=True)
class SettingsLimits:
    """How many settings an owner may keep, and how large one may be as JSON."""

    count: int = 1000
    value_bytes: int = 256 * 1024
    all_bytes: int = 2 * 2**20


@dataclass(eq=False)
class TooManySettingsError(ServiceError):
    """More settings, or larger ones, than an owner may keep."""

    status = 413
    code = "too_many_settings"
    template = "Settings are limited: {received} {what}, at most {limit}."
    what: str
    received: int
    limit: int


class UserSettings:
    """The table of settings. Values are JSON texts, as they came."""

    def __init__(self, database: Database, limits: SettingsLimits | None = None) -> None:
        self._database = database
        self._limits = limits or SettingsLimits()

    async def all(self, owner: str) -> dict[str, str]:
        """Every setting of an owner."""
        chosen = sa.select(USER_SETTINGS.c.name, USER_SETTINGS.c.value)
        async with self._database.reading() as connection:
            rows = await connection.execute(chosen.where(USER_SETTINGS.c.owner == owner))
            return {row.name: row.value for row in rows}

    async def put(self, owner: str, values: Mapping[str, str]) -> None:
        """Set some settings; the others stay.

        Raises:
            TooManySettingsError: nothing was set.
        """
        limits = self._limits
        for name, value in values.items():
            _bounded("characters in a name", len(name), LONGEST_NAME)
            _bounded("bytes in one value", len(value.encode()), limits.value_bytes)
        async with self._database.writing() as connection:
            mine = USER_SETTINGS.c.owner == owner
            chosen = sa.select(USER_SETTINGS.c.name, sa.func.length(USER_SETTINGS.c.value))
            rows = await connection.execute(chosen.where(mine))
            kept: dict[str, int] = {row[0]: row[1] for row in rows}
            kept |= {name: len(value) for name, value in values.items()}
            _bounded("settings", len(kept), limits.count)
            _bounded("bytes in all values", sum(kept.values()), limits.all_bytes)
            gone = mine & USER_SETTINGS.c.name.in_(list(values))
            await connection.execute(sa.delete(USER_SETTINGS).where(gone))
            new: list[dict[str, Any]] = [
                {"owner": owner, "name": name, "value": value} for name, value in values.items()
            ]
            if new:
                await connection.execute(sa.insert(USER_SETTINGS), new)

    async def remove_all(self, owner: str) -> None:
        """Forget an owner's settings."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(USER_SETTINGS).where(USER_SETTINGS.c.owner == owner))


def _bounded(what: str, received: int, limit: int) -> None:
    if received > limit:
        raise TooManySettingsError(what, received, limit)
