"""One job's prompts, what is predicted of them, and what changes how they are weighed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.batch.prompts import Prompt
from diffusion.batch.rows import Asking, Row
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
After: TypeAlias = Callable[[Predicted, Tensor], Asking[Tensor]]


@dataclass(frozen=True, eq=False)
class GuidanceChanges:
    """One job's changes, in the order in which they were laid on the model."""

    befores: tuple[Before, ...] = ()
    combination: Combine | None = None
    afters: tuple[After, ...] = ()
    need_uncond: bool = False

    def before(self, predicted: Predicted) -> Predicted:
        for change in self.befores:
            predicted = change(predicted)
        return predicted

    def combine(self, predicted: Predicted) -> Asking[Tensor]:
        combination = self.combination or extrapolated
        return (yield from self.after(predicted, combination(predicted)))

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
class Guided:
    """One job's prompts and how they are weighed."""

    prompts: Mapping[str, tuple[Prompt, ...]]
    scales: Mapping[str, float]
    sampling: ModelSampling
    changes: GuidanceChanges
    running: RunChanges = field(default_factory=RunChanges)
    patches: tuple[Change, ...] = ()  # of this question
    wants_uncond: bool = False  # the sampler reads the prediction without the prompt
    recorded: dict[str | None, Tensor] = field(
        default_factory=dict
    )  # by name, of the last question

    @property
    def needs_all(self) -> bool:
        """Whether predictions that a scale of 1 cancels out are asked for all the same."""
        return self.wants_uncond or self.changes.need_uncond

    def predict(self, x: Tensor, sigma: Tensor, *names: str | None) -> Asking[list[Tensor]]:
        """One denoised prediction for each name, of all its prompts together; zeros for None."""
        rows: list[Row] = []
        patches = (*self.running.at(float(sigma)), *self.patches)
        draws = self.running.draws()
        owners: list[int] = []
        plain = len(names) == 2
        for place, name in enumerate(names):
            own = self.running.of_negative_at(float(sigma)) if plain and name == "negative" else ()
            for prompt in self.prompts.get(name, ()) if name else ():
                if prompt.applies(float(sigma)):
                    crop = x if prompt.box is None else prompt.box.crop(x)
                    images = self.running.images_at(float(sigma), negative=place == 1)
                    row = Row(crop, sigma, prompt, self.sampling, (*patches, *own), draws=draws)
                    rows.append(replace(row, images=images, divisible=self.running.divisible))
                    owners.append(place)
        answers = (yield from self._ask(rows)) if rows else []
        self._keep_records(names, owners, rows)
        parts: list[list[tuple[Prompt, Tensor]]] = [[] for _ in names]
        for place, row, answer in zip(owners, rows, answers, strict=True):
            parts[place].append((row.prompt, answer))
        return [joined(part, x) for part in parts]

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
