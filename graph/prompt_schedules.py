"""Prompts by frame, as FizzNodes writes them: `"0": "a fox", "12": "a fox that runs"`.

Between two keyframes a frame has something of both. What stands in backticks is arithmetic of the
frame's number `t`. (FizzleDorf/ComfyUI_FizzNodes BatchFuncs.py, interpolate_prompt_seriesA)
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

from graph.arithmetic import Language, evaluate
from graph.errors import ServiceError

MOST_FRAMES = 4096
MOST_TEXT = 1_000_000  # characters of all prompts, with what stands before and behind each
MOST_COMPUTED = 10_000_000  # characters of prompts with expressions, over all frames
EXPRESSION_COSTS = 100  # as many characters
NEGATIVE = "--neg"
NUMBER = re.compile(r"[+-]?\d{1,9}")
EXPRESSION = re.compile(r"`(.*?)`")
LANGUAGE = Language(
    MappingProxyType(
        {
            name: getattr(math, name)
            for name in ("sin", "cos", "tan", "sqrt", "exp", "log", "floor", "ceil")
        }
        | {"abs": abs, "min": min, "max": max}
    )
)


@dataclass(eq=False)
class PromptScheduleError(ServiceError):
    """A schedule of prompts that cannot be read."""

    status = 422
    code = "custom_validation_failed"
    template = "Input 'text': {problem}."
    problem: str


@dataclass(frozen=True)
class Between:
    """What a frame is told: so much of one prompt, and the rest of the next."""

    now: str
    next: str
    weight: float


@dataclass(frozen=True)
class Scheduled:
    """A schedule's text with what stands before and behind every prompt."""

    text: str
    before: str = ""
    behind: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)  # that expressions may name

    def over(self, frames: int, evaluated: range) -> tuple[list[Between], list[Between]]:
        """What every frame is told, and what not; expressions are computed for some frames.

        Raises:
            PromptScheduleError, ExpressionError: it cannot be read.
        """
        if frames > MOST_FRAMES:
            problem = f"expected at most {MOST_FRAMES} frames, got {frames}"
            raise PromptScheduleError(problem)
        prompts = self._read(frames)
        around = len(self.before) + len(self.behind)
        if sum(len(prompt) + around for prompt in prompts.values()) > MOST_TEXT:
            problem = f"expected at most {MOST_TEXT} characters"
            raise PromptScheduleError(problem)
        sides = [self._sided(prompt) for prompt in prompts.values()]
        keys = list(prompts)
        positive, negative = (
            self._interpolated(dict(zip(keys, own, strict=True)), frames, evaluated)
            for own in zip(*sides, strict=True)
        )
        return positive, negative

    def _read(self, frames: int) -> dict[int, str]:
        joined = self.text.replace("\n", "").replace("\r", "")
        try:
            found = json.loads(re.sub(r",\s*}$", "}", "{" + joined.strip() + "}"))
        except (ValueError, RecursionError) as error:
            problem = f'expected keyframes as in "0": "a fox", {error}'
            raise PromptScheduleError(problem) from error
        if not found or not all(isinstance(prompt, str) for prompt in found.values()):
            problem = "expected a text for every keyframe, and at least one"
            raise PromptScheduleError(problem)
        return {self._key(key, frames): prompt for key, prompt in found.items()}

    def _key(self, key: str, frames: int) -> int:
        if NUMBER.fullmatch(key.strip()):
            return int(key)
        value = evaluate(key, {"max_f": frames}, LANGUAGE, "text")
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError) as error:
            problem = f"expected a frame's number, got {str(value)[:40]}"
            raise PromptScheduleError(problem) from error

    def _sided(self, prompt: str) -> tuple[str, str]:
        """What is wanted and what is not."""
        parts = [_halves(text) for text in (self.before, prompt, self.behind)]
        both = [" ".join(part[side] for part in parts) for side in (0, 1)]
        wanted, unwanted = (text.removesuffix("0") for text in both)  # as the pack does
        return wanted, unwanted

    def _interpolated(
        self, prompts: Mapping[int, str], frames: int, evaluated: range
    ) -> list[Between]:
        keyed = sorted(prompts.items())
        if keyed[0][0] != 0:
            keyed.insert(0, (0, keyed[0][1]))
        if keyed[-1][0] != frames:
            keyed.append((frames, keyed[-1][1]))
        found: dict[int, Between] = {}
        costs = {prompt: _cost(prompt) for _, prompt in keyed}
        left = MOST_COMPUTED
        for (start, now), (end, following) in pairwise(keyed):
            cost = costs[now] + costs[following]
            for frame in range(max(start, 0), min(end, frames)):
                weight = 1 - (frame - start) / (end - start)
                if frame in evaluated:
                    left -= cost
                    if left < 0:
                        problem = "expected fewer expressions, or fewer frames"
                        raise PromptScheduleError(problem)
                    own = (
                        self._computed(now, frame, frames),
                        self._computed(following, frame, frames),
                    )
                else:
                    own = now, following
                found[frame] = Between(*own, weight)
        return [found[frame] for frame in range(frames)]

    def _computed(self, prompt: str, frame: int, frames: int) -> str:
        if "`" not in prompt:
            return prompt.strip()
        names = {"t": frame, "max_f": frames - 1, **self.numbers}
        return EXPRESSION.sub(
            lambda found: str(evaluate(found[1], names, LANGUAGE, "text")), prompt
        ).strip()


def _cost(prompt: str) -> int:
    """What computing it for a frame costs, in characters."""
    marks = prompt.count("`")
    return len(prompt) + EXPRESSION_COSTS * marks if marks else len(prompt) // EXPRESSION_COSTS


def _halves(text: str) -> tuple[str, str]:
    wanted, _, unwanted = text.partition(NEGATIVE)
    return wanted, unwanted.partition(NEGATIVE)[0]
