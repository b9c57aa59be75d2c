"""Jobs whose prompts bring changes to the model's weights along, and take them with them.

Each prompt's rows are answered by weights of their own: those of the model under its hooks, which
share what the hooks leave alone, and are kept as other models are. (ComfyUI comfy/hooks.py)
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import WeakSet

import torch
from torch import Tensor

from diffusion.batch.calls import Denoiser
from diffusion.batch.hooks import PromptHooks
from diffusion.batch.noise_levels import PercentSchedule
from diffusion.batch.rows import Row
from diffusion.engine.engine import Report
from diffusion.memory.cache import leased
from diffusion.motion.job import Course, course_of
from graph.events import Warned
from graph.sampling import Guider
from graph.values import Change, HookKeyframe, WeightHook
from graph.weight_hooks import model_changes

Hooks: TypeAlias = tuple[WeightHook, ...]
Changes: TypeAlias = tuple[Change, ...]
Lease: TypeAlias = Callable[[Changes], AbstractContextManager[Any]]  # of a resident model


def hooks_of(guider: Guider) -> list[Hooks]:
    """The groups of hooks that the prompts of `guider` are under, each once."""
    conditions = (condition for _, own in guider.conditionings for condition in own)
    return list(dict.fromkeys(own.hooks for own in conditions if own.hooks))


def first_changes(hooks: Hooks) -> Changes:
    """What hooks lay on the model the first time that each lays something."""
    strengths = ((own, _first_strength(own.keyframes)) for own in hooks)
    return model_changes(strengths)


def _first_strength(keyframes: Sequence[HookKeyframe]) -> float:
    """The first that is not 0; 1 without keyframes."""
    strengths = [keyframe.strength for keyframe in keyframes] or [1.0]
    return next(filter(None, strengths), 0.0)


@dataclass(frozen=True, eq=False)
class JobHooks:
    """The hooks of one prompt in one job, each with the course of its strength."""

    hooks: Sequence[tuple[WeightHook, Course[HookKeyframe] | None]]

    def at(self, sigma: float) -> Changes:
        """What they lay on the model at a noise level; sigmas never rise."""
        return model_changes(
            (hook, 1.0 if course is None else hook.keyframes[course.at(sigma)].strength)
            for hook, course in self.hooks
        )


def prepare_hooks(
    groups: Iterable[Hooks], sampling: PercentSchedule, highest: float
) -> dict[Hooks, PromptHooks]:
    """Groups of hooks for a job that begins at a noise level. Equal keyframes have one course."""
    courses: dict[tuple[HookKeyframe, ...], Course[HookKeyframe] | None] = {}
    found: dict[Hooks, PromptHooks] = {}
    for group in groups:
        for hook in group:
            if hook.keyframes not in courses:
                courses[hook.keyframes] = course_of(hook.keyframes, sampling, highest, 0)
        found[group] = JobHooks([(hook, courses[hook.keyframes]) for hook in group])
    return found


def warned(report: Report | None, node_id: str, warnings: Iterable[str]) -> None:
    """Tell who asked, if anybody wants to know."""
    if report is not None:
        for warning in warnings:
            report(Warned(node_id, warning))


async def hooked_denoiser(
    resident: Any, guider: Guider, lease: Lease, warn: Callable[[Iterable[str]], None]
) -> Denoiser:
    """What answers a job over a resident model: that, or for prompts under hooks, others too.

    Raises:
        BadModelFile, MissingModelFile: what hooks bring cannot be applied to the model.
    """
    groups = hooks_of(guider)
    for changes in map(first_changes, groups):
        async with leased(lease(changes)) as hooked:
            warn(sorted({*hooked.model.warnings} - {*resident.model.warnings}))
    own: Denoiser = resident.denoiser
    return HookedDenoiser(own, lease) if groups else own


class HookedDenoiser:
    """The weights of one job, which its rows are parted by. Called by one thread at a time."""

    def __init__(self, base: Denoiser, lease: Lease) -> None:
        """`lease` keeps the model under more changes in memory, made if it is not there."""
        self._base = base
        self._lease = lease
        self._used: WeakSet[Any] = WeakSet()

    def limit(self, *size: int) -> int:
        """How many latents of this size one call may hold."""
        return self._base.limit(*size)

    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        """The denoised prediction of every row, in order."""
        answers: dict[int, Tensor] = {}
        for weights in dict.fromkeys(row.weights for row in rows):
            own = [row for row in rows if row.weights == weights]
            found = self._answered(weights, own)
            answers |= {id(row): answer for row, answer in zip(own, found, strict=True)}
        return [answers[id(row)] for row in rows]

    def _answered(self, weights: Changes, rows: Sequence[Row]) -> list[Tensor]:
        if not weights:
            return self._base(rows)
        with torch.inference_mode(mode=False):  # what is made outlives the call
            lease = self._lease(weights)
            resident = lease.__enter__()
        try:
            self._used.add(resident.denoiser)
            return list(resident.denoiser(rows))
        finally:
            lease.__exit__(None, None, None)

    def forget(self) -> None:
        """Let go of what was kept for the job."""
        self._base.forget()
        for denoiser in self._used:
            denoiser.forget()
