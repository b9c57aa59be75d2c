"""API keys, stored as hashes, with their scopes and limits.

A key is "crk_<id>_<secret>". The id finds the row; the secret is 256 random bits, which nobody
guesses, so one SHA-256 keeps it as safe as a slow password hash would, and costs a request nothing.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import sqlalchemy as sa
from sqlalchemy.engine import Row

from graph.errors import ServiceError
from storage.database import METADATA, Database

ID = re.compile(r"[0-9a-f]{16}")
SHAPE = re.compile(r"crk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")

API_KEYS = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.Column("expires_s", sa.Float),
    sa.Column("revoked_s", sa.Float),
    sa.Column("rate", sa.String(40)),
    sa.Column("concurrency", sa.Integer),
    sa.Column("budget", sa.BigInteger),
    # The running account of its jobs, written by storage/jobs/charges.py alone.
    sa.Column("unfinished", sa.Integer, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Index("api_keys_by_owner", "owner", "created_s"),
)
CHANGEABLE = frozenset({"name", "scopes", "expires_s", "rate", "concurrency", "budget"})


@dataclass(eq=False)
class InvalidKeyError(ServiceError):
    """A key that does not hold."""

    status = 401
    code = "invalid_key"
    template = "The API key is {state}."
    state: Literal["unknown", "revoked", "expired"]


@dataclass(eq=False)
class UnknownKeyIdError(ServiceError):
    """A key id that stands for no key."""

    status = 404
    code = "key_not_found"
    template = "There is no key {key_id!r}."
    key_id: str


@dataclass(frozen=True)
class KeyTerms:
    """What a key may do. Of limits, None is none; `budget` is in millionths of the currency."""

    scopes: tuple[str, ...]
    name: str = ""
    expires_s: float | None = None
    rate: str | None = None  # "60/minute"
    concurrency: int | None = None  # jobs that wait or run
    budget: int | None = None


@dataclass(frozen=True)
class KeyRecord(KeyTerms):
    """A key that was made, without its secret. Times are Unix seconds."""

    id: str = ""
    owner: str = ""
    created_s: float = 0.0
    revoked_s: float | None = None
    unfinished: int = 0
    reserved: int = 0
    spent: int = 0

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        values = {column.name: getattr(row, column.name) for column in fields(cls)}
        return cls(**values | {"scopes": tuple(row.scopes)})


class Keys:
    """The table of keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, owner: str, terms: KeyTerms) -> tuple[str, KeyRecord]:
        """A new key of `owner`, which is told here and never again, and its record."""
        key_id = secrets.token_hex(8)
        key = f"crk_{key_id}_{secrets.token_urlsafe(32)}"
        record = KeyRecord(**vars(terms), id=key_id, owner=owner, created_s=time.time())
        values = vars(record) | {"scopes": list(terms.scopes), "hash": _hash(key)}
        async with self._database.writing() as connection:
            await connection.execute(sa.insert(API_KEYS).values(**values))
        return key, record

    async def holder(self, key: str) -> KeyRecord:
        """The record of a key that holds now.

        Raises:
            InvalidKeyError: it never did, was revoked, or has expired.
        """
        shape = SHAPE.fullmatch(key)
        row = await self._row(shape[1]) if shape else None
        if row is None or not hmac.compare_digest(row.hash, _hash(key)):
            raise InvalidKeyError("unknown")
        return _that_holds(KeyRecord.from_row(row))

    async def holding(self, key_id: str) -> KeyRecord:
        """The record of the key of that id, if it holds now.

        Raises:
            InvalidKeyError: it is gone, was revoked, or has expired.
        """
        row = await self._row(key_id)
        if row is None:
            raise InvalidKeyError("unknown")
        return _that_holds(KeyRecord.from_row(row))

    async def get(self, key_id: str) -> KeyRecord:
        """The record of a key, whether it holds or not.

        Raises:
            UnknownKeyIdError: there is none of that id.
        """
        row = await self._row(key_id) if ID.fullmatch(key_id) else None
        if row is None:
            raise UnknownKeyIdError(key_id[:80])
        return KeyRecord.from_row(row)

    async def list(self, owner: str | None = None) -> tuple[KeyRecord, ...]:
        """All keys, or one owner's, the oldest first."""
        query = sa.select(API_KEYS).order_by(API_KEYS.c.created_s, API_KEYS.c.id)
        if owner is not None:
            query = query.where(API_KEYS.c.owner == owner)
        async with self._database.reading() as connection:
            return tuple(map(KeyRecord.from_row, await connection.execute(query)))

    async def change(self, key_id: str, terms: Mapping[str, Any]) -> KeyRecord:
        """Give a key other terms, some of CHANGEABLE.

        Raises:
            UnknownKeyIdError: there is none of that id.
        """
        assert terms.keys() <= CHANGEABLE
        record = await self.get(key_id)
        if terms:
            await self._update(record.id, terms)
        return await self.get(key_id)

    async def revoke(self, key_id: str) -> KeyRecord:
        """End a key now. Jobs that it started go on; revoking again changes nothing.

        Raises:
            UnknownKeyIdError: there is none of that id.
        """
        record = await self.get(key_id)
        first = sa.func.coalesce(API_KEYS.c.revoked_s, time.time())
        await self._update(record.id, {"revoked_s": first})
        return await self.get(key_id)

    async def remove_all(self, owner: str) -> int:
        """Forget an owner's keys, which hold no more; returns how many."""
        query = sa.delete(API_KEYS).where(API_KEYS.c.owner == owner)
        async with self._database.writing() as connection:
            return (await connection.execute(query)).rowcount

    async def _update(self, key_id: str, values: Mapping[str, Any]) -> None:
        query = sa.update(API_KEYS).where(API_KEYS.c.id == key_id).values(**values)
        async with self._database.writing() as connection:
            await connection.execute(query)

    async def _row(self, key_id: str) -> Row[Any] | None:
        query = sa.select(API_KEYS).where(API_KEYS.c.id == key_id)
        async with self._database.reading(quick=True) as connection:
            return (await connection.execute(query)).first()


def _that_holds(record: KeyRecord) -> KeyRecord:
    if record.revoked_s is not None:
        raise InvalidKeyError("revoked")
    if record.expires_s is not None and record.expires_s <= time.time():
        raise InvalidKeyError("expired")
    return record


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
