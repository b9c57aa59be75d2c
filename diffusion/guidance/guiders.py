"""Guiders: how predictions of several prompts become the one that a sampler moves by.

A guider is a generator: it yields the rows it needs predicted, receives their predictions and
returns the guided prediction. It neither batches nor calls the model.
(ComfyUI comfy/samplers.py, sampling_function and calc_cond_batch; comfy_extras,
nodes_custom_sampler.py and nodes_perpneg.py.)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.batch.prompts import Prompt
from diffusion.batch.rows import Asking, Row
from diffusion.guidance.changes import GuidanceChanges, Predicted, perpendicular
from diffusion.guidance.network_changes import RunChanges
from diffusion.samplers.protocol import Prediction
from diffusion.schedules.model_sampling import ModelSampling
from graph.values import Change

NOTHING = 1e-37  # keeps what no prompt covers at zero instead of dividing by it


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
                    rows.append(replace(row, images=images))
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


def cfg(guided: Guided, x: Tensor, sigma: Tensor) -> Asking[Prediction]:
    """Away from the negative by `cfg` (Ho & Salimans 2022). At 1 the negative is not asked for."""
    scale = guided.scales.get("cfg", 1.0)
    skipped = math.isclose(scale, 1.0) and not guided.needs_all
    negative = None if skipped or "negative" not in guided.prompts else "negative"
    cond, uncond = yield from guided.predict(x, sigma, "positive", negative)
    predicted = Predicted(guided, x, sigma, cond, uncond, scale, "positive", negative)
    predicted = guided.changes.before(predicted)
    denoised = yield from guided.changes.combine(predicted)
    return Prediction(denoised, predicted.uncond)


def dual_cfg(guided: Guided, x: Tensor, sigma: Tensor) -> Asking[Prediction]:
    """Two positives: the first against the middle, the middle against the negative."""
    outer, inner = guided.scales["cfg2"], guided.scales["cfg1"]
    negative: str | None = "negative"
    middle: str | None = "middle"
    if math.isclose(outer, 1.0) and not guided.needs_all:
        negative = None
        middle = None if math.isclose(inner, 1.0) else middle
    predictions = yield from guided.predict(x, sigma, negative, middle, "positive")
    without, between, cond = predictions
    predicted = Predicted(guided, x, sigma, between, without, outer, middle, negative)
    denoised = yield from guided.changes.combine(predicted)
    return Prediction(denoised + (cond - between) * inner, without)


def dual_cfg_nested(guided: Guided, x: Tensor, sigma: Tensor) -> Asking[Prediction]:
    """The first positive against the middle, and all that against the negative."""
    outer, inner = guided.scales["cfg2"], guided.scales["cfg1"]
    predictions = yield from guided.predict(x, sigma, "negative", "middle", "positive")
    without, between, cond = predictions
    predicted = Predicted(guided, x, sigma, cond, between, inner, "positive", "middle")
    denoised = yield from guided.changes.combine(predicted)
    return Prediction(without + outer * (denoised - without), between)


def perp_neg(guided: Guided, x: Tensor, sigma: Tensor) -> Asking[Prediction]:
    """Only what of the negative is perpendicular to the positive (Armandpour et al. 2023)."""
    scale, neg_scale = guided.scales["cfg"], guided.scales["neg_scale"]
    negative: str | None = "negative"
    empty: str | None = "empty_negative_prompt"
    if math.isclose(neg_scale, 0.0) and not guided.needs_all:
        negative = None
        empty = None if math.isclose(scale, 1.0) else empty
    cond, uncond, nothing = yield from guided.predict(x, sigma, "positive", negative, empty)
    predicted = Predicted(guided, x, sigma, cond, uncond, scale, "positive", negative)
    predicted = guided.changes.before(predicted)
    denoised = perpendicular(predicted.cond, predicted.uncond, nothing, neg_scale, scale)
    denoised = yield from guided.changes.after(predicted, denoised)
    return Prediction(denoised, predicted.uncond)


GUIDERS: Mapping[str, Guider] = MappingProxyType(
    {
        "cfg": cfg,
        "basic": cfg,  # without a negative and at scale 1
        "dual_cfg": dual_cfg,
        "dual_cfg_nested": dual_cfg_nested,
        "perp_neg": perp_neg,
    }
)
