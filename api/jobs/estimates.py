"""Estimates the run time of a job from recent run times of its node types."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from graph.execution import NodeTiming

WEIGHT = 0.2  # of the newest measurement
MOST_STEPS = 10_000  # that a sampler takes
UNKNOWN_S = 5.0  # where nothing was measured yet


class RunTimes:
    """Exponential means of seconds by node class, per step where a node has steps."""

    def __init__(self) -> None:
        self._mean_s: dict[str, float] = {}

    def learn(self, prompt: Mapping[str, Any], timings: Sequence[NodeTiming]) -> None:
        """Take in what a job of that prompt (API format) measured."""
        for timing in timings:
            if not timing.cached:
                node = prompt.get(timing.node_id, {})
                self._take_in(timing.class_type, (timing.end_s - timing.start_s) / _steps(node))

    def estimate_s(self, steps: Mapping[str, int]) -> float:
        """How long a job may run whose nodes have so many steps (`steps_by_class`)."""
        if not self._mean_s:
            return UNKNOWN_S
        return sum(self._mean_s.get(name, 0.0) * count for name, count in steps.items())

    def _take_in(self, class_type: str, seconds: float) -> None:
        mean_s = self._mean_s.get(class_type, seconds)
        self._mean_s[class_type] = mean_s + WEIGHT * (seconds - mean_s)


def steps_by_class(prompt: Mapping[str, Any]) -> Counter[str]:
    """The steps of all nodes of a prompt (API format), by class; a node without steps is one."""
    steps: Counter[str] = Counter()
    for node in prompt.values():
        if isinstance(node, Mapping):
            steps[_class(node)] += _steps(node)
    return steps


def _class(node: Mapping[str, Any]) -> str:
    return str(node.get("class_type", ""))


def _steps(node: Mapping[str, Any]) -> int:
    inputs = node.get("inputs")
    steps = inputs.get("steps") if isinstance(inputs, Mapping) else None
    return min(steps, MOST_STEPS) if isinstance(steps, int) and steps > 0 else 1
