"""The result cache: bounded, and honest about promises."""

import asyncio

import pytest

from graph.cache import Handle, ResultCache, ResultLostError


def sized(nbytes: int) -> tuple[Handle, ...]:
    return (Handle("x", nbytes),)


async def test_the_least_recently_used_goes_first() -> None:
    results = ResultCache(100)
    for name in "abc":
        results.keep(("local", name), sized(40))
    assert ("local", "a") not in results
    await results.get(("local", "b"))
    results.keep(("local", "d"), sized(40))
    assert ("local", "b") in results
    assert ("local", "c") not in results
    assert results.nbytes == 80


def test_a_result_larger_than_the_budget_is_not_kept() -> None:
    results = ResultCache(100)
    results.keep(("local", "a"), sized(101))
    assert (len(results), results.nbytes) == (0, 0)


async def test_a_promise_is_kept_to_everybody_who_waits() -> None:
    results = ResultCache(100)
    assert results.promise(("local", "a"))
    assert not results.promise(("local", "a"))
    waiting = [asyncio.create_task(results.get(("local", "a"))) for _ in range(3)]
    await asyncio.sleep(0)
    results.keep(("local", "a"), sized(1))
    assert len({id(outputs) for outputs in await asyncio.gather(*waiting)}) == 1


async def test_a_withdrawn_promise_is_a_lost_result() -> None:
    results = ResultCache(100)
    results.promise(("local", "a"))
    waiting = asyncio.create_task(results.get(("local", "a")))
    await asyncio.sleep(0)
    results.withdraw(("local", "a"))
    with pytest.raises(ResultLostError):
        await waiting
    assert len(results) == 0
