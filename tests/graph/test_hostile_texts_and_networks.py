"""What small inputs could make large: drawn prompts, schedules, SEGS, and pickled networks.

Each would take minutes or gigabytes if it were not refused, or read in one pass.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from api.jobs.displays import Displays
from api.jobs.events import Displayed
from graph.detailing import encoded
from graph.errors import ServiceError
from graph.made_values import MadeTooLargeError
from graph.model_files.limits import BadHeaderError, HeaderLimits
from graph.model_files.pickled_modules import read_network
from graph.nodes.packs.impact_segs import concat, pick
from graph.prompt_schedules import PromptScheduleError, Scheduled
from graph.segs import MOST_PARTS, Seg, Segs, TooManyPartsError
from graph.wildcards import populated, worded

PARTS_STAGE: Any = None
PARTS = Segs((8, 8), tuple(Seg(None, 1.0, (0, 0, 4, 4), (0, 0, 4, 4), "x") for _ in range(300)))


@pytest.mark.parametrize(
    "text", ["1" * 200_000 + "x", "{" + "1" * 200_000 + "x::a|b}", "{9" + "9" * 5_000 + "$$a|b}"]
)
def test_long_numbers_are_read_in_one_pass(text: str) -> None:
    assert len(populated(text, 1)) <= len(text)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 8_000 + "a" + "}" * 8_000,
        "{9999$$" + "-" * 10_000 + "$$" + "a|" * 9_999 + "a}",
        " ".join(f"100#__{'n' * 2_000}__" for _ in range(100)),
    ],
)
def test_a_prompt_that_would_grow_is_refused(text: str) -> None:
    with pytest.raises(MadeTooLargeError):
        populated(text, 1)


def test_a_seed_of_a_part_has_at_most_as_many_digits_as_seeds_have() -> None:
    part = Seg(None, 1.0, (0, 0, 4, 4), (0, 0, 4, 4), "x")
    (said,) = worded(f"[ASC]fox[SEP:{'9' * 5_000}]hare", [part], {0}, 7)
    assert said.text == "fox"


def test_breaks_of_a_prompt_are_bounded() -> None:
    with pytest.raises(MadeTooLargeError, match="nodes"):
        encoded({}, "x", "a BREAK " * 100_000, None)


def test_a_schedule_counts_what_stands_around_each_prompt() -> None:
    prompts = ", ".join(f'"{k}": "fox"' for k in range(1_000))
    with pytest.raises(PromptScheduleError, match="characters"):
        Scheduled(prompts, before="a" * 10_000).over(1_000, range(0))


def test_a_schedule_computes_so_many_expressions_and_no_more() -> None:
    with pytest.raises(PromptScheduleError, match="fewer expressions"):
        Scheduled(f'"0": "{"`t` " * 1_000}"').over(400, range(400))
    few, _ = Scheduled('"0": "`t` foxes"').over(4_096, range(4_096))
    assert few[4_095].now == "4095 foxes"


@pytest.mark.parametrize("key", ["1e999", "9" * 5_000, "0 * 1e999"])
def test_a_frame_that_is_no_number_is_refused(key: str) -> None:
    with pytest.raises(ServiceError):
        Scheduled(f'"{key}": "fox"').over(8, range(8))


def test_segs_do_not_double_without_end() -> None:
    four = concat(PARTS_STAGE, segs1=PARTS, segs2=PARTS, segs10=PARTS)
    assert len(four.items) == 900
    with pytest.raises(TooManyPartsError):
        concat(PARTS_STAGE, segs1=four, segs2=PARTS)
    with pytest.raises(TooManyPartsError):
        Segs((8, 8), PARTS.items * (MOST_PARTS // 300 + 1))


def test_segs_are_put_together_by_their_numbers() -> None:
    given = {f"segs{k}": Segs((8, 8), (PARTS.items[k],)) for k in (10, 2, 1)}
    assert concat(PARTS_STAGE, **given).items == tuple(PARTS.items[k] for k in (1, 2, 10))


def test_what_a_node_shows_is_joined_in_one_pass() -> None:
    displays = Displays()
    for k in range(60_000):
        displays.hear(Displayed("1", '{"t":[1]}', 0, str(k)))
    assert displays.of("1") == {"t": [1] * 60_000}


class Module:
    """Has the name under which a pickle has it, and what a module holds."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


def network(folder: Path, value: Mapping[str, Any]) -> Path:
    path = folder / "tiny.pt"
    path.write_bytes(legacy(pickle.dumps(value, protocol=2)))
    return path


def legacy(content: bytes) -> bytes:
    """As torch wrote files before it wrote zip files."""
    before: tuple[object, ...] = (0x1950A86A20F9469CFC6C, 1001, {})  # magic, version, system
    head = b"".join(pickle.dumps(one, protocol=2) for one in before)
    return head + content + pickle.dumps([], protocol=2)


def test_a_module_that_stands_in_many_places_is_counted_in_each(tmp_path: Path) -> None:
    module = Module(_modules={})
    for _ in range(38):
        module = Module(_modules={"a": module, "b": module})
    with pytest.raises(BadHeaderError, match="more in it than tensors"):
        read_network(network(tmp_path, {"model": module}), HeaderLimits())


def test_a_state_that_is_told_again_and_again_is_counted_each_time(tmp_path: Path) -> None:
    """A dictionary of n keys, and n times BUILD with it."""
    n = 3_000
    state = pickle.dumps({"_modules": {}} | {str(k): k for k in range(n)}, protocol=2)
    made = pickle.dumps(Module(), protocol=2)[2:-1]
    texts = {name: b"X" + len(name).to_bytes(4, "little") + name for name in (b"told", b"model")}
    kept = texts[b"told"] + state[2:-1] + b"q\xff"
    told = texts[b"model"] + made + b"h\xffb" * n
    whole = b"\x80\x02}(" + kept + told + b"u."
    path = tmp_path / "tiny.pt"
    path.write_bytes(legacy(whole))
    with pytest.raises(BadHeaderError, match="more in it than tensors"):
        read_network(path, HeaderLimits())


def test_a_number_of_thousands_of_digits_picks_no_part() -> None:
    picked = pick(PARTS_STAGE, picks="9" * 5_000 + ", 2,²", segs=PARTS)
    assert picked.items == (PARTS.items[1],)
