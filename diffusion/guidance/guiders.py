"""Guiders: how predictions of several prompts become the one that a sampler moves by.

A guider is a generator: it yields the rows it needs predicted, receives their predictions and
returns the guided prediction. It neither batches nor calls the model.
(ComfyUI comfy/samplers.py, sampling_function and calc_cond_batch; comfy_extras,
nodes_custom_sampler.py and nodes_perpneg.py.)
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from diffusion.batch.rows import Asking
from diffusion.guidance.changes import perpendicular
from diffusion.guidance.guided import Guided, Guider, Predicted
from diffusion.samplers.protocol import Prediction


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
