"""Budgets and places of keys: reserved at once, settled once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from storage.jobs.charges import (
    BudgetSpentError,
    Charge,
    ConcurrencyLimitError,
    Prices,
    Taken,
    reserve,
    settle,
    usage,
)
from storage.jobs.job_charges import JobCharges
from storage.jobs.money import micros
from storage.keys import KeyRecord, Keys, KeyTerms


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


async def key(database: Database, budget: int | None = None, concurrency: int | None = None) -> str:
    terms = KeyTerms(("execute",), budget=budget, concurrency=concurrency)
    _, record = await Keys(database).create("acme", terms)
    return record.id


async def reserved(database: Database, job_id: int, key_id: str | None, price: int) -> None:
    async with database.writing() as connection:
        await reserve(connection, Charge(job_id, "acme", key_id, price, 0.0))


async def settled(database: Database, job_id: int, taken: Taken) -> None:
    async with database.writing() as connection:
        await settle(connection, [job_id], taken)


async def account(database: Database, key_id: str) -> tuple[int, int, int]:
    record: KeyRecord = await Keys(database).get(key_id)
    return record.unfinished, record.reserved, record.spent


async def test_a_charge_is_reserved_and_settled_once(database: Database) -> None:
    key_id = await key(database, budget=100)
    await reserved(database, 1, key_id, 60)
    assert await account(database, key_id) == (1, 60, 0)
    for _ in range(2):
        await settled(database, 1, Taken(2, 1.5, 40))
        assert await account(database, key_id) == (0, 0, 40)
    spent = await usage(database, "acme")
    assert (spent.jobs, spent.unfinished, spent.outputs, spent.seconds, spent.spent) == (
        1,
        0,
        2,
        1.5,
        40,
    )


async def test_what_is_over_the_budget_is_refused_and_leaves_nothing(database: Database) -> None:
    key_id = await key(database, budget=micros(1.0))
    await reserved(database, 1, key_id, micros(0.75))
    with pytest.raises(BudgetSpentError) as refused:
        await reserved(database, 2, key_id, micros(0.5))
    assert (refused.value.price, refused.value.budget, refused.value.reserved) == (0.5, 1.0, 0.75)
    assert await account(database, key_id) == (1, micros(0.75), 0)
    assert (await usage(database, "acme")).jobs == 1
    await settled(database, 1, Taken(amount=micros(0.5)))
    await reserved(database, 2, key_id, micros(0.5))


async def test_of_many_at_once_no_more_are_accepted_than_the_limits_allow(
    database: Database,
) -> None:
    cases = (
        (100, {"budget": 50}, BudgetSpentError),
        (200, {"concurrency": 5}, ConcurrencyLimitError),
    )
    for first, terms, error in cases:
        key_id = await key(database, **terms)
        jobs = range(first, first + 20)
        said = await asyncio.gather(
            *(reserved(database, job_id, key_id, 10) for job_id in jobs), return_exceptions=True
        )
        assert sum(isinstance(one, error) for one in said) == 15
        assert await account(database, key_id) == (5, 50, 0)


async def test_without_a_key_use_is_counted_all_the_same(database: Database) -> None:
    await reserved(database, 1, None, 10)
    await settled(database, 1, Taken(3, 2.0, 10))
    assert (await usage(database, "acme")).outputs == 3
    assert (await usage(database, "umbrella")).jobs == 0


def test_prices_are_of_outputs_and_seconds() -> None:
    prices = Prices(per_output=0.02, per_second=0.001)
    assert prices.of(outputs=3, seconds=2.5) == micros(0.0625)
    assert prices.of(outputs=0, seconds=0.0) == 0
    assert JobCharges(prices).quote(0.0) == micros(0.02)
    assert JobCharges(Prices(per_second=0.001)).quote(0.0) == 1
    assert JobCharges(Prices()).quote(0.0) == 0
    assert Prices().of(outputs=3, seconds=2.5) == 0
