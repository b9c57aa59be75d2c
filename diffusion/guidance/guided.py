"""One job's guided prediction: prompts, their predictions, and how these are combined."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.batch.prompts import Prompt
from diffusion.batch.rows import Asking, Draws, Row, RowImage, RowMotion
from diffusion.guidance.defaults import Filled, holding
from diffusion.guidance.frames import StepFrames, Window
from diffusion.guidance.network_changes import RunChanges
from diffusion.samplers.protocol import Prediction
from diffusion.schedules.model_sampling import ModelSampling
from graph.values import Change

NOTHING = 1e-37  # keeps what no prompt covers at zero instead of dividing by it


@dataclass(frozen=True, eq=False)
class Predicted:
    """What was asked at one step, and the denoised predictions that came back."""

    guided: "Guided"
    x: Tensor
    sigma: Tensor
    cond: Tensor
    uncond: Tensor  # zeros where it was not asked for
    scale: float
    cond_name: str | None
    uncond_name: str | None


Before: TypeAlias = Callable[[Predicted], Predicted]
Combine: TypeAlias = Callable[[Predicted], Tensor]
AskingCombine: TypeAlias = Callable[[Predicted], Asking[Tensor]]
After: TypeAlias = Callable[[Predicted, Tensor], Asking[Tensor]]


@dataclass(frozen=True, eq=False)
class GuidanceChanges:
    """One job's changes, in the order in which they were applied to the model."""

    befores: tuple[Before, ...] = ()
    combination: Combine | None = None
    asking: AskingCombine | None = None  # instead of it
    afters: tuple[After, ...] = ()
    need_uncond: bool = False

    def before(self, predicted: Predicted) -> Predicted:
        for change in self.befores:
            predicted = change(predicted)
        return predicted

    def combine(self, predicted: Predicted) -> Asking[Tensor]:
        if self.asking is None:
            denoised = (self.combination or extrapolated)(predicted)
        else:
            denoised = yield from self.asking(predicted)
        return (yield from self.after(predicted, denoised))

    def after(self, predicted: Predicted, denoised: Tensor) -> Asking[Tensor]:
        for change in self.afters:
            denoised = yield from change(predicted, denoised)
        return denoised


def extrapolated(predicted: Predicted) -> Tensor:
    """Classifier-free guidance itself."""
    cond, uncond = predicted.cond, predicted.uncond
    if predicted.uncond_name is None and predicted.scale == 1.0:
        return cond
    return uncond + (cond - uncond) * predicted.scale


@dataclass(frozen=True, eq=False)
class Question:
    """The latents of a job that are asked about together: all, or a window of its frames."""

    x: Tensor
    window: Window | None
    video: StepFrames | None
    draws: Draws | None

    @property
    def motion(self) -> RowMotion | None:
        return None if self.video is None else self.video.motion(self.window)

    def prompt(self, prompt: Prompt) -> Prompt:
        """A job's prompt for these latents."""
        if self.video is None or self.window is None:
            return prompt
        return self.video.prompt(prompt, self.window)

    def images(self, images: tuple[RowImage, ...]) -> tuple[RowImage, ...]:
        """A job's image prompts for these latents."""
        video, window = self.video, self.window
        if video is None or window is None:
            return images
        return tuple(replace(own, image=video.image(own.image, window)) for own in images)


@dataclass(frozen=True, eq=False)
class Guided:
    """One job's prompts and how they are weighed."""

    prompts: Mapping[str, tuple[Prompt, ...]]
    scales: Mapping[str, float]
    sampling: ModelSampling
    changes: GuidanceChanges
    running: RunChanges = field(default_factory=RunChanges)
    patches: tuple[Change, ...] = ()  # of this question
    step: int = 0  # steps of the sampler that are done
    wants_uncond: bool = False  # the sampler reads the prediction without the prompt
    filled: Filled = field(default_factory=dict)  # what defaults come to
    recorded: dict[str | None, Tensor] = field(
        default_factory=dict
    )  # by name, of the last question

    @property
    def needs_all(self) -> bool:
        """Whether predictions that a scale of 1 cancels out are asked for all the same."""
        return self.wants_uncond or self.changes.need_uncond

    def predict(self, x: Tensor, sigma: Tensor, *names: str | None) -> Asking[list[Tensor]]:
        """One denoised prediction for each name, of all its prompts together; zeros for None."""
        frames = self.running.frames
        video = None if frames is None else frames.at(float(sigma), self.step)
        windows = None if video is None else video.windows
        if video is None or windows is None:
            whole = Question(x, None, video, self.running.draws())
            rows, owners = self._rows(whole, sigma, names)
            answers = (yield from self._ask(rows)) if rows else []
            self._keep_records(names, owners, rows)
            return joined_by_name(names, x, owners, rows, answers)
        parts = [Question(video.cut(x, w), w, video, self.running.draws()) for w in windows]
        asked = [self._rows(part, sigma, names) for part in parts]
        every = [row for rows, _ in asked for row in rows]
        left = iter((yield from self._ask(every)) if every else [])
        said = [
            joined_by_name(names, part.x, owners, rows, [next(left) for _ in rows])
            for part, (rows, owners) in zip(parts, asked, strict=True)
        ]
        return [
            video.fused([(w, own[place]) for w, own in zip(windows, said, strict=True)], x)
            for place in range(len(names))
        ]

    def _rows(
        self, question: "Question", sigma: Tensor, names: Sequence[str | None]
    ) -> tuple[list[Row], list[int]]:
        """The rows of a question, and the place of each one's name."""
        x, level = question.x, float(sigma)
        motion = question.motion
        divisible = self.running.divisible and motion is None
        patches = (*self.running.at(level), *self.patches)
        rows: list[Row] = []
        owners: list[int] = []
        plain = len(names) == 2
        for place, name in enumerate(names):
            own = self.running.of_negative_at(level) if plain and name == "negative" else ()
            images = question.images(self.running.images_at(level, negative=place == 1))
            for whole in holding(self.prompts.get(name, ()) if name else (), level, self.filled):
                prompt = question.prompt(whole)
                crop = x if prompt.box is None else prompt.box.crop(x)
                row = Row(crop, sigma, prompt, self.sampling, (*patches, *own))
                row = replace(row, images=images, motion=motion, divisible=divisible)
                weights = () if whole.hooks is None else whole.hooks.at(level)
                kept = self.running.kept_of(whole) if question.window is None else None
                rows.append(replace(row, draws=question.draws, weights=weights, kept=kept))
                owners.append(place)
        return rows, owners

    def _keep_records(
        self, names: Sequence[str | None], owners: Sequence[int], rows: Sequence[Row]
    ) -> None:
        """What patches wrote down of the first row of each name."""
        self.recorded.clear()
        for place, row in zip(owners, rows, strict=True):
            if row.recorded:
                self.recorded.setdefault(names[place], row.recorded[0])

    def _ask(self, rows: Sequence[Row]) -> Asking[Sequence[Tensor]]:
        cache = self.running.cache
        return (yield rows) if cache is None else (yield from cache.ask(rows))

    def patched(self, *patches: Change) -> "Guided":
        """As it is, with patches of rows and records of its own."""
        return replace(self, patches=(*self.patches, *patches), recorded={})


def joined_by_name(
    names: Sequence[str | None],
    x: Tensor,
    owners: Sequence[int],
    rows: Sequence[Row],
    answers: Sequence[Tensor],
) -> list[Tensor]:
    """For each name, what its prompts say of `x` together."""
    parts: list[list[tuple[Prompt, Tensor]]] = [[] for _ in names]
    for place, row, answer in zip(owners, rows, answers, strict=True):
        parts[place].append((row.prompt, answer))
    return [joined(part, x) for part in parts]


def joined(parts: list[tuple[Prompt, Tensor]], x: Tensor) -> Tensor:
    """The mean of predictions weighted by where and how strongly their prompts apply."""
    if len(parts) == 1 and parts[0][0].box is None and parts[0][0].weight is None:
        return parts[0][1]
    total, weights = torch.zeros_like(x), torch.full_like(x, NOTHING)
    for prompt, prediction in parts:
        weight = 1.0 if prompt.weight is None else prompt.weight
        here, counted = (
            (total, weights)
            if prompt.box is None
            else (prompt.box.crop(total), prompt.box.crop(weights))
        )
        here += prediction * weight
        counted += weight
    return total / weights


Guider: TypeAlias = Callable[[Guided, Tensor, Tensor], Asking[Prediction]]
