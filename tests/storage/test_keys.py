"""The table of keys."""

import time
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from storage.database import Database
from storage.keys import API_KEYS, InvalidKeyError, Keys, KeyTerms, UnknownKeyIdError

TERMS = KeyTerms(("execute", "read"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


async def test_a_key_is_its_owners(keys: Keys) -> None:
    key, made = await keys.create("acme", TERMS)
    assert await keys.holder(key) == made
    assert (made.owner, made.scopes) == ("acme", ("execute", "read"))


async def test_the_database_holds_no_key(database: Database) -> None:
    key, made = await Keys(database).create("acme", TERMS)
    async with database.reading() as connection:
        (row,) = (await connection.execute(sa.select(API_KEYS))).all()
    assert row.id == made.id == key[4:20]
    assert key[21:] not in str(row)


async def test_nearly_a_key_is_none(keys: Keys) -> None:
    key, _ = await keys.create("acme", TERMS)
    for wrong in (key[:-1], key + "A", key.upper(), f" {key}", key[4:], "", "é", "crk_\x00"):
        with pytest.raises(InvalidKeyError, match="unknown"):
            await keys.holder(wrong)


async def test_another_keys_secret_does_not_open_it(keys: Keys) -> None:
    first, _ = await keys.create("acme", TERMS)
    second, _ = await keys.create("umbrella", TERMS)
    mixed = first[:21] + second[21:]
    with pytest.raises(InvalidKeyError, match="unknown"):
        await keys.holder(mixed)


async def test_a_key_ends_when_it_says_and_when_it_is_revoked(keys: Keys) -> None:
    old, _ = await keys.create("acme", KeyTerms(("read",), expires_s=time.time() - 1))
    with pytest.raises(InvalidKeyError, match="expired"):
        await keys.holder(old)
    key, made = await keys.create("acme", TERMS)
    revoked = await keys.revoke(made.id)
    assert await keys.revoke(made.id) == revoked
    with pytest.raises(InvalidKeyError, match="revoked"):
        await keys.holder(key)


async def test_keys_are_listed_by_age_and_owner(keys: Keys) -> None:
    made = [(await keys.create(owner, TERMS))[1] for owner in ("acme", "umbrella", "acme")]
    assert await keys.list() == tuple(made)
    assert await keys.list("acme") == (made[0], made[2])


async def test_terms_change_one_by_one(keys: Keys) -> None:
    _, made = await keys.create("acme", TERMS)
    changed = await keys.change(made.id, {"budget": 5_000_000, "scopes": ["read"]})
    assert (changed.budget, changed.scopes, changed.rate) == (5_000_000, ("read",), None)
    assert await keys.change(made.id, {}) == changed


@pytest.mark.parametrize("key_id", ["0" * 16, "", "\x00", "x" * 1000])
async def test_an_unknown_id_is_said(keys: Keys, key_id: str) -> None:
    for wanted in (keys.get(key_id), keys.revoke(key_id), keys.change(key_id, {"name": "x"})):
        with pytest.raises(UnknownKeyIdError):
            await wanted
