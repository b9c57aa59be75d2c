"""What is kept in memory. Threads meet at events, nothing waits for a clock."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from diffusion.memory.cache import ModelCache

PATIENCE_S = 20


def cache(budget: int) -> ModelCache[str, str]:
    """Keeps strings; each is as large as it is long."""
    return ModelCache(budget, len)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def use(kept: ModelCache[str, str], key: str, size: int = 1, needs: int = 0) -> str:
    with kept.lease(key, lambda: key * size, expected_bytes=needs) as value:
        return value


def test_a_value_is_loaded_once() -> None:
    kept, loads = cache(10), []

    def load() -> str:
        loads.append(1)
        return "a"

    for _ in range(3):
        with kept.lease("a", load) as value:
            assert value == "a"
    assert len(loads) == 1


def test_of_what_loads_as_fast_the_least_recently_used_goes_first() -> None:
    kept = cache(3)
    for key in "abcad":
        use(kept, key)
    assert kept.resident() == ("c", "a", "d")


def test_what_is_in_use_stays_although_the_budget_is_spent() -> None:
    kept = cache(3)
    with kept.lease("a", lambda: "aa"):
        use(kept, "b", 3)
        assert kept.resident() == ("a",)


def test_what_is_larger_than_the_budget_is_loaded_alone() -> None:
    kept = cache(3)
    use(kept, "a")
    with kept.lease("b", lambda: "b" * 9, expected_bytes=9):
        assert kept.resident() == ("b",)


def test_room_is_made_before_a_load_of_known_size() -> None:
    kept = cache(3)
    use(kept, "a", 2)
    with kept.lease("b", lambda: str(kept.resident()), expected_bytes=2) as seen:
        assert seen == "()"


def test_a_failed_load_leaves_nothing_behind() -> None:
    kept = cache(10)

    def fail() -> str:
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"), kept.lease("a", fail, expected_bytes=5):
        pass
    assert (kept.resident(), kept.used_bytes()) == ((), 0)
    assert use(kept, "a") == "a"


def test_an_error_of_the_borrower_ends_the_lease() -> None:
    kept = cache(1)
    with pytest.raises(KeyError), kept.lease("a", lambda: "a"):
        raise KeyError
    use(kept, "b")
    assert kept.resident() == ("b",)


def test_forgotten_values_are_gone_unless_in_use() -> None:
    kept = cache(10)
    use(kept, "a")
    with kept.lease("b", lambda: "b"):
        kept.forget(lambda _key: True)
        assert kept.resident() == ("b",)


def start_load(
    kept: ModelCache[str, str], key: str, threads: ThreadPoolExecutor, expected: int = 0
) -> tuple[Event, Future[str]]:
    """A load on another thread that has begun and goes on when the event is set."""
    begun, go_on = Event(), Event()

    def load() -> str:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return key

    def borrow() -> str:
        with kept.lease(key, load, expected_bytes=expected) as value:
            return value

    loading = threads.submit(borrow)
    assert begun.wait(PATIENCE_S)
    return go_on, loading


def test_others_wait_for_a_load_of_the_same_key(threads: ThreadPoolExecutor) -> None:
    kept = cache(10)
    go_on, loading = start_load(kept, "a", threads)
    second = threads.submit(use, kept, "a", 7)
    go_on.set()
    assert (loading.result(PATIENCE_S), second.result(PATIENCE_S)) == ("a", "a")


def test_different_keys_load_at_once(threads: ThreadPoolExecutor) -> None:
    kept = cache(10)
    first, second = start_load(kept, "a", threads), start_load(kept, "b", threads)
    for go_on, loading in (first, second):
        go_on.set()
        loading.result(PATIENCE_S)
    assert sorted(kept.resident()) == ["a", "b"]


def test_a_load_under_way_takes_what_it_is_expected_to(threads: ThreadPoolExecutor) -> None:
    kept = cache(3)
    use(kept, "a")
    go_on, loading = start_load(kept, "b", threads, expected=2)
    assert kept.used_bytes() == 3
    use(kept, "c", needs=1)
    assert kept.resident() == ("c",)
    go_on.set()
    loading.result(PATIENCE_S)
    assert kept.used_bytes() == 2


def test_one_who_waited_for_a_failed_load_loads_for_himself(threads: ThreadPoolExecutor) -> None:
    kept = cache(3)
    begun, go_on = Event(), Event()

    def fail() -> str:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        raise ValueError("unreadable")

    def borrow() -> None:
        with kept.lease("a", fail):
            pass

    failing = threads.submit(borrow)
    assert begun.wait(PATIENCE_S)
    second = threads.submit(use, kept, "a")
    go_on.set()
    assert isinstance(failing.exception(PATIENCE_S), ValueError)
    assert second.result(PATIENCE_S) == "a"


def use_upon(kept: ModelCache[str, str], base: str, key: str) -> str:
    with kept.lease_upon(base, lambda: base, key, lambda below: below + key) as value:
        return value


def test_a_value_made_of_another_keeps_it_in_memory() -> None:
    kept = cache(4)
    assert use_upon(kept, "b", "x") == "bx"
    use(kept, "c")
    assert set(kept.resident()) == {"b", "x", "c"}
    use(kept, "d")
    assert set(kept.resident()) == {"b", "c", "d"}


def test_a_base_goes_after_all_that_was_made_of_it() -> None:
    kept = cache(5)
    use_upon(kept, "b", "x")
    use_upon(kept, "b", "y")
    use(kept, "c", size=5)
    assert kept.resident() == ("c",)


def test_a_base_is_idle_again_when_nothing_could_be_made_of_it() -> None:
    kept = cache(1)

    def fail(_below: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), kept.lease_upon("b", lambda: "b", "x", fail):
        pass
    assert kept.resident() == ("b",)
    use(kept, "c")
    assert kept.resident() == ("c",)
