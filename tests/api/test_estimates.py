from typing import Any

import pytest

from api.jobs.estimates import UNKNOWN_S, RunTimes, steps_by_class
from graph.execution import NodeTiming


def _prompt(steps: int) -> dict[str, Any]:
    return {
        "1": {"class_type": "Loader", "inputs": {}},
        "2": {"class_type": "KSampler", "inputs": {"steps": steps, "model": ["1", 0]}},
    }


def _ran(seconds: float, *, cached: bool = False) -> tuple[NodeTiming, ...]:
    return (NodeTiming("2", "KSampler", "sample", 1.0, 1.0 + seconds, cached),)


def test_nothing_measured_is_a_guess() -> None:
    assert RunTimes().estimate_s(steps_by_class(_prompt(10))) == UNKNOWN_S


def test_a_node_takes_as_long_as_its_steps() -> None:
    times = RunTimes()
    times.learn(_prompt(10), _ran(5.0))
    assert times.estimate_s(steps_by_class(_prompt(20))) == pytest.approx(10.0)


def test_estimates_follow_what_is_measured() -> None:
    times = RunTimes()
    for _ in range(30):
        times.learn(_prompt(10), _ran(5.0))
    for _ in range(30):
        times.learn(_prompt(10), _ran(1.0))
    assert times.estimate_s(steps_by_class(_prompt(10))) == pytest.approx(1.0, rel=0.05)


def test_what_was_cached_says_nothing() -> None:
    times = RunTimes()
    times.learn(_prompt(10), _ran(0.0, cached=True))
    assert times.estimate_s(steps_by_class(_prompt(10))) == UNKNOWN_S


@pytest.mark.parametrize("steps", [0, -1, "5", None, [1, 0]])
def test_steps_that_are_no_number_count_as_one(steps: Any) -> None:
    times = RunTimes()
    times.learn(_prompt(steps), _ran(2.0))
    assert times.estimate_s(steps_by_class(_prompt(steps))) == pytest.approx(2.0)
