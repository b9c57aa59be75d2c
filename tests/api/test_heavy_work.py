"""Work whose time grows with a request is done beside the event loop, in turns."""

import asyncio
import threading
from typing import Any

import pytest

from api.heavy_work import SMALL, HeavyRequestsError, HeavyWork, is_small


async def test_it_runs_beside_the_event_loop_one_at_a_time() -> None:
    heavy, running, most = HeavyWork(), 0, 0
    began, goes_on = threading.Event(), threading.Event()

    def work() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        began.set()
        goes_on.wait(30)
        running -= 1
        return threading.current_thread().name

    tasks = [asyncio.create_task(heavy.run(owner, work)) for owner in ("a", "b")]
    while not began.is_set():  # noqa: ASYNC110 - set on a thread
        await asyncio.sleep(0.001)  # the loop goes on
    goes_on.set()
    assert {name.partition("_")[0] for name in await asyncio.gather(*tasks)} == {"heavy"}
    assert most == 1


async def test_owners_are_served_in_turns() -> None:
    heavy, order, goes_on = HeavyWork(), [], threading.Event()

    def work(owner: str) -> None:
        goes_on.wait(30)
        order.append(owner)

    tasks = [asyncio.create_task(heavy.run("busy", work, "busy")) for _ in range(6)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(heavy.run("other", work, "other")))
    await asyncio.sleep(0)
    goes_on.set()
    await asyncio.gather(*tasks)
    assert order.index("other") <= 1


async def test_one_owner_may_not_fill_the_queue() -> None:
    heavy, goes_on = HeavyWork(most_waiting=3), threading.Event()
    tasks = [asyncio.create_task(heavy.run("busy", goes_on.wait, 30)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(HeavyRequestsError) as caught:
        await heavy.run("busy", goes_on.wait, 30)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
    goes_on.set()
    await asyncio.gather(*tasks, heavy.run("other", goes_on.wait, 30))
    assert await heavy.run("busy", goes_on.wait, 30)


@pytest.mark.parametrize(
    ("value", "small"),
    [
        ({"1": {"class_type": "A", "inputs": {"text": "a prompt"}}}, True),
        ([[]] * SMALL, False),
        ({"text": "x" * 10**6}, False),
        ({str(k): {"a": 1} for k in range(SMALL)}, False),
        (None, True),
    ],
)
def test_small_is_what_has_few_values(value: Any, small: bool) -> None:
    assert is_small(value) is small


def test_a_deep_value_is_measured_without_recursion() -> None:
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]
    assert is_small(value)
