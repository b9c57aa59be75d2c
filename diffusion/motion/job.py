"""The frames of one job: its windows, its motion modules and what changes them on the way.

(ComfyUI-AnimateDiff-Evolved sampling.py and model_injection.py)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from diffusion.batch.noise_levels import PercentSchedule
from diffusion.batch.prompts import Prompt
from diffusion.batch.rows import JobImage
from diffusion.batch.slices import frame_prompt
from diffusion.families.family import LoadedModel
from diffusion.motion.loading import Key, LoadedMotion, evolved_of, key_of
from diffusion.motion.moving import Mask, Module, Moving, Strength, View
from diffusion.motion.multivals import Amount, amount, combined
from diffusion.motion.network import FrameTransformer
from diffusion.motion.noise import settled_noise
from diffusion.motion.windows import Frames, check_overlap, frames_of, fused
from graph.errors import ServiceError
from graph.motion import Context, Evolved, Motion, MotionKeyframe
from graph.values import Change


class Keyframed(Protocol):
    """What holds from a part of the schedule on, for at least so many steps."""

    @property
    def start_percent(self) -> float: ...

    @property
    def guarantee_steps(self) -> int: ...


T = TypeVar("T", bound=Keyframed)
START = MotionKeyframe(0.0)


@dataclass(eq=False)
class TooManyFramesError(ServiceError):
    """More frames than a motion module has positions."""

    status = 422
    code = "too_many_frames"
    template = (
        "The motion module {name!r} tells at most {limit} frames apart, and got {frames}: "
        "use context options with windows of at most {limit}."
    )
    name: str
    limit: int
    frames: int


@dataclass(eq=False)
class Course(Generic[T]):
    """Which of some keyframes holds, from step to step."""

    keyframes: Sequence[T]  # by start
    starts: Sequence[float]  # their sigmas
    highest: float  # sigma of the run
    place: int = -1  # of the one that holds; -1 before the first
    _used: int = 0  # steps
    _sigma: float = -1.0

    def at(self, sigma: float) -> int:
        """The place of the one that holds. Sigmas never rise; one that stays is no new step."""
        if sigma == self._sigma:
            return self.place
        if self.place < 0 or self._used >= self._guaranteed(self.place):
            for later in range(self.place + 1, len(self.keyframes)):
                if self.starts[later] < sigma:
                    break
                self.place, self._used = later, 0
                if self._guaranteed(later) > 0:
                    break
        self._used += 1
        self._sigma = sigma
        return self.place

    def _guaranteed(self, place: int) -> int:
        """At least so many steps, unless it began before the run did."""
        before = self.starts[place] > self.highest
        return 0 if before else self.keyframes[place].guarantee_steps


@dataclass(eq=False)
class JobModule:
    """One motion module in a job."""

    motion: Motion
    loaded: LoadedMotion
    by_place: Mapping[str, FrameTransformer]
    course: Course[MotionKeyframe]
    first_sigma: float
    last_sigma: float
    _reached: int = -2
    _strengths: tuple[Strength, Strength] = (1.0, 1.0)
    _scale: Amount | None = None
    _effect: Amount | None = None

    def strengths(self, sigma: float) -> tuple[Strength, Strength]:
        """Scale and effect at a step."""
        place = self.course.at(sigma)
        for passed in range(max(self._reached + 1, 0), place + 1):
            self._pass(self.course.keyframes[passed])
        if place != self._reached:
            self._reached = place
            self._strengths = (
                _strength(combined(amount(self.motion.scale), self._scale)),
                _strength(combined(amount(self.motion.effect), self._effect)),
            )
        scale, effect = self._strengths
        return scale, effect if self.last_sigma <= sigma <= self.first_sigma else 0.0

    def _pass(self, keyframe: MotionKeyframe) -> None:
        if keyframe.scale is not None or not keyframe.inherit:
            self._scale = amount(keyframe.scale)
        if keyframe.effect is not None or not keyframe.inherit:
            self._effect = amount(keyframe.effect)


def _strength(value: Amount) -> Strength:
    return Mask(value) if isinstance(value, Tensor) else float(value)


@dataclass(eq=False)
class VideoJob:
    """The frames of one job. For the thread that steps."""

    frames: int
    modules: Sequence[JobModule]
    joins_norms: bool
    contexts: Course[Context] | None  # None where all frames are asked about at once
    prompts: dict[tuple[int, Frames], tuple[Prompt, Prompt]] = field(default_factory=dict)
    images: dict[tuple[int, Frames], tuple[JobImage, JobImage]] = field(default_factory=dict)
    masks: dict[tuple[int, Frames | None], tuple[Mask, Mask]] = field(default_factory=dict)

    def at(self, sigma: float, step: int) -> "VideoStep":
        """How the frames are asked about at a step."""
        context = None
        if self.contexts is not None:
            context = self.contexts.keyframes[self.contexts.at(sigma)]
        strengths = [module.strengths(sigma) for module in self.modules]
        return VideoStep(self, context, strengths, sigma, step)


@dataclass(frozen=True, eq=False)
class VideoStep:
    """The frames of a job at one step."""

    job: VideoJob
    context: Context | None
    strengths: Sequence[tuple[Strength, Strength]]
    sigma: float
    step: int

    @property
    def windows(self) -> list[Frames] | None:
        """What is asked about by itself; None is all frames at once."""
        if self.context is None:
            return None
        return frames_of(self.context.windows, self.job.frames, self.step)

    def motion(self, window: Frames | None) -> Moving | None:
        """What lets the frames of a window see each other."""
        if not self.job.modules:
            return None
        view = None
        if self.context is not None and self.context.view is not None:
            view = View(self.context.view, self.step, self.sigma)
        return Moving(
            tuple(
                Module(
                    module.by_place,
                    id(module.loaded),
                    self._of(scale, window),
                    self._of(effect, window),
                    view,
                )
                for module, (scale, effect) in zip(self.job.modules, self.strengths, strict=True)
            ),
            self.job.joins_norms,
        )

    def _of(self, strength: Strength, window: Frames | None) -> Strength:
        if isinstance(strength, float):
            return strength
        known, key = self.job.masks, (id(strength), window)
        if key not in known:
            known[key] = strength, strength.of(window, self.job.frames)
        return known[key][1]

    def cut(self, x: Tensor, window: Frames) -> Tensor:
        """The frames of a window."""
        return x[list(window)]

    def prompt(self, prompt: Prompt, window: Frames) -> Prompt:
        """A job's prompt for the frames of a window."""
        known, key = self.job.prompts, (id(prompt), window)
        if key not in known:
            known[key] = prompt, frame_prompt(prompt, window, self.job.frames)
        return known[key][1]

    def image(self, image: JobImage, window: Frames) -> JobImage:
        """A job's image prompt for the frames of a window."""
        known, key = self.job.images, (id(image), window)
        if key not in known:
            known[key] = image, image.of_frames(window)
        return known[key][1]

    def fused(self, answers: Sequence[tuple[Frames, Tensor]], like: Tensor) -> Tensor:
        """What is predicted of all frames, put together from what is of windows."""
        assert self.context is not None
        return fused(self.context.windows, answers, like, self.sigma)


def prepare_video(
    changes: Sequence[Change],
    loaded: Mapping[Key, LoadedMotion],
    model: LoadedModel,
    sampling: PercentSchedule,
    *,
    sigmas: Tensor,
    frames: int,
) -> VideoJob | None:
    """The frames of a job whose model has motion or windows applied to it.

    Raises:
        TooManyFramesError: more than a motion module tells apart.
        WindowOverlapError: windows would move on too little.
        BadModelFile: a motion module is made for another kind of model.
    """
    evolved = evolved_of(changes)
    if evolved is None:
        return None
    highest = float(torch.max(sigmas))
    modules = [
        _job_module(motion, loaded[key_of(motion)], model, sampling, highest)
        for motion in reversed(evolved.motions)
    ]
    contexts = _over(evolved, frames)
    for context in contexts:
        check_overlap(context.windows)
    for module in modules:
        _check_length(module.loaded, contexts, frames)
    newest = modules[-1].loaded.file if modules else None
    joins = newest is not None and (
        newest.joins_norms or (newest.version == "v2" and evolved.joins_v2_norms)
    )
    return VideoJob(frames, modules, joins, course_of(contexts, sampling, highest, 0))


def initial_noise(
    changes: Sequence[Change], own: Tensor, seed: int | None, device: torch.device
) -> Tensor:
    """The noise [F, C, h, w] that a job begins with; `own` where nothing is applied to its model.

    Raises:
        BatchOffsetError: more is to be thrown away than is allowed.
    """
    evolved = evolved_of(changes)
    if evolved is None or evolved.settings is None or seed is None:
        return own
    contexts = _over(evolved, len(own))
    return settled_noise(evolved.settings, own, seed, contexts[0] if contexts else None, device)


def _over(evolved: Evolved, frames: int) -> tuple[Context, ...]:
    """The contexts, where there are more frames than the first one's windows are long."""
    contexts = tuple(sorted(evolved.contexts, key=lambda context: context.start_percent))
    if not contexts:
        return ()
    windows = contexts[0].windows
    if windows.schedule == "view_as_context":
        return contexts
    enough = windows.length < frames or (windows.on_equal_length and windows.length == frames)
    return contexts if enough else ()


def _check_length(loaded: LoadedMotion, contexts: Sequence[Context], frames: int) -> None:
    asked = [_longest(context, frames) for context in contexts] or [frames]
    if max(asked) > loaded.file.frames:
        name = loaded.file.weights.file.name
        raise TooManyFramesError(name, loaded.file.frames, max(asked))


def _longest(context: Context, frames: int) -> int:
    if context.view is not None:
        return min(context.view.length, frames)
    return min(context.windows.length, frames)


def _job_module(
    motion: Motion,
    loaded: LoadedMotion,
    model: LoadedModel,
    sampling: PercentSchedule,
    highest: float,
) -> JobModule:
    by_start = sorted(motion.keyframes, key=lambda keyframe: keyframe.start_percent)
    keyframes = by_start if by_start and by_start[0].start_percent == 0.0 else [START, *by_start]
    course = course_of(tuple(keyframes), sampling, highest, -1)
    assert course is not None
    ends = (motion.start_percent, motion.end_percent)
    start, end = map(sampling.percent_to_sigma, ends)
    return JobModule(motion, loaded, loaded.by_place(model), course, start, end)


def course_of(
    keyframes: Sequence[T], sampling: PercentSchedule, highest: float, place: int
) -> Course[T] | None:
    """Keyframes by start in a run from `highest` down; the one at `place` holds at first."""
    if not keyframes:
        return None
    starts = [sampling.percent_to_sigma(keyframe.start_percent) for keyframe in keyframes]
    return Course(keyframes, starts, highest, place)
