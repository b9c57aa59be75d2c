"""Counters that go on over an owner's jobs."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from storage.counters import Counters
from storage.database import Database


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[list[Database]]:
    opened = [Database(database_url) for _ in range(2)]
    for database in opened:
        await database.open()
    yield opened
    for database in opened:
        await database.close()


async def test_two_routers_never_take_the_same_number(databases: list[Database]) -> None:
    routers = [Counters(database) for database in databases]
    taken = await asyncio.gather(*(routers[k % 2].take("me", "pic", 2) for k in range(20)))
    assert sorted(taken) == list(range(1, 41, 2))


async def test_owners_and_names_count_apart(databases: list[Database]) -> None:
    counters = Counters(databases[0])
    for owner, name in (("me", "pic"), ("you", "pic"), ("me", "a/pic")):
        assert await counters.take(owner, name) == 1
    assert await counters.take("me", "a/pic") == 2


async def test_what_nobody_used_for_long_begins_again(databases: list[Database]) -> None:
    counters = Counters(databases[0])
    assert await counters.take("me", "pic") == 1
    await counters.sweep(before_s=0.0)
    assert await counters.take("me", "pic") == 2
    await counters.sweep(before_s=float("inf"))
    assert await counters.take("me", "pic") == 1
