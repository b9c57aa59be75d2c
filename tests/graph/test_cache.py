"""The result cache: bounded, and honest about promises."""

import asyncio

import pytest

from graph.cache import MOST_RESULTS, Handle, ResultCache, ResultLostError


def sized(nbytes: int) -> tuple[Handle, ...]:
    return (Handle("x", nbytes),)


async def test_the_least_recently_used_goes_first() -> None:
    results = ResultCache(100)
    for name in "abc":
        results.keep(("local", name), sized(40), 1)
    assert ("local", "a") not in results
    await results.get(("local", "b"), 1)
    results.keep(("local", "d"), sized(40), 1)
    assert ("local", "b") in results
    assert ("local", "c") not in results
    assert results.nbytes == 80


def test_a_result_larger_than_the_budget_is_not_kept() -> None:
    results = ResultCache(100)
    results.keep(("local", "a"), sized(101), 1)
    assert (len(results), results.nbytes) == (0, 0)


async def test_a_promise_is_kept_to_everybody_who_waits() -> None:
    results = ResultCache(100)
    assert results.promise(("local", "a"))
    assert not results.promise(("local", "a"))
    waiting = [asyncio.create_task(results.get(("local", "a"), 1)) for _ in range(3)]
    await asyncio.sleep(0)
    results.keep(("local", "a"), sized(1), 1)
    assert len({id(outputs) for outputs in await asyncio.gather(*waiting)}) == 1


async def test_a_withdrawn_promise_is_a_lost_result() -> None:
    results = ResultCache(100)
    results.promise(("local", "a"))
    waiting = asyncio.create_task(results.get(("local", "a"), 1))
    await asyncio.sleep(0)
    results.withdraw(("local", "a"))
    with pytest.raises(ResultLostError):
        await waiting
    assert len(results) == 0


async def test_a_deleted_job_leaves_nothing_but_what_a_later_one_has_too() -> None:
    results = ResultCache(100)
    for name in "ab":
        results.keep(("local", name), sized(10), 1)
        results.warn(("local", name), f"{name} is odd", 1)
    await results.get(("local", "b"), 2)
    assert results.warnings(("local", "b"), 2) == ("b is odd",)
    assert results.jobs() == {1, 2}

    results.forget_jobs({1})
    assert [("local", name) in results for name in "ab"] == [False, True]
    assert [results.warnings(("local", name), 2) for name in "ab"] == [(), ("b is odd",)]
    assert results.jobs() == {2}
    assert results.nbytes == 10


async def test_a_result_belongs_to_the_job_that_waited_for_it() -> None:
    results = ResultCache(100)
    results.promise(("local", "a"))
    waiting = asyncio.create_task(results.get(("local", "a"), 2))
    await asyncio.sleep(0)
    results.keep(("local", "a"), sized(1), 1)
    await waiting
    assert results.jobs() == {2}


def test_small_results_are_not_kept_without_end() -> None:
    results = ResultCache(100)
    for k in range(MOST_RESULTS + 5):
        results.keep(("local", str(k)), sized(0), 1)
    assert len(results) == MOST_RESULTS


async def test_a_job_whose_result_another_job_is_given_has_lent_it() -> None:
    results = ResultCache(100)
    results.keep(("local", "a"), sized(1), 1)
    await results.get(("local", "a"), 1)
    assert not results.lent(1)
    await results.get(("local", "a"), 2)
    assert (results.lent(1), results.lent(2)) == (True, False)


async def test_who_waited_for_a_result_was_lent_it() -> None:
    results = ResultCache(100)
    results.promise(("local", "a"))
    waiting = asyncio.create_task(results.get(("local", "a"), 2))
    await asyncio.sleep(0)
    results.keep(("local", "a"), sized(1), 1)
    await waiting
    assert results.lent(1)
