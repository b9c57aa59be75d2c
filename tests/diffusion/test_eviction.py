"""What goes first where memory is short."""

import random
from collections.abc import Callable, Sequence

from diffusion.memory.cache import ModelCache
from diffusion.memory.eviction import Worths

ROOM = 4
# Of models of one size: two that load slowly, and six that do not; all are asked for as often.
LOAD_S = {name: 20.0 if name in "ab" else 1.0 for name in "abcdefgh"}


def loading_s(asked: Sequence[str], goes: Callable[[list[str], Worths[str]], str]) -> float:
    """How long loads take together, where `goes` says what of those in memory makes room."""
    kept: list[str] = []  # the last used last
    worths: Worths[str] = Worths()
    took = 0.0
    for name in asked:
        if name in kept:
            kept.remove(name)
        else:
            took += LOAD_S[name]
            if len(kept) == ROOM:
                gone = goes(kept, worths)
                kept.remove(gone)
                worths.gone(gone, for_room=True)
        kept.append(name)
        worths.used(name, LOAD_S[name], 1.0)
    return took


def by_cost(kept: list[str], worths: Worths[str]) -> str:
    return worths.least(kept) or ""


def test_what_loads_slowly_stays_and_loads_take_half_as_long() -> None:
    asked = random.Random(3).choices("abcdefgh", k=2000)
    by_age = loading_s(asked, lambda kept, _: kept[0])
    assert loading_s(asked, by_cost) < by_age / 2


def test_what_is_not_used_any_more_goes_in_the_end() -> None:
    worths: Worths[str] = Worths()
    worths.used("slow", 20.0, 1.0)
    for _ in range(25):
        worths.used("fast", 1.0, 1.0)
        gone = worths.least(["slow", "fast"])
        assert gone is not None
        worths.gone(gone, for_room=True)
        if gone == "slow":
            return
    raise AssertionError("it stays for ever")


def test_what_was_made_of_a_model_goes_before_it_and_counts_as_its_use() -> None:
    kept: ModelCache[str, str] = ModelCache(4, len)

    def use(key: str, size: int) -> None:
        with kept.lease(key, lambda: "x" * size):
            pass

    use("old", 1)
    use("base", 1)
    use("other", 1)
    with kept.lease_upon("base", lambda: "b", "laid", lambda _: "l"):
        pass
    use("new", 1)
    assert kept.resident() == ("old", "other", "base", "new")
    use("newer", 2)
    assert kept.resident() == ("base", "new", "newer")
