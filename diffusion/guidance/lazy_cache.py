"""Predictions reused while little changes. (ComfyUI comfy_extras/nodes_easycache.py, LazyCache)"""

from collections.abc import Iterable

from torch import Tensor

from diffusion.batch.rows import Asking
from diffusion.guidance.guided import Guided, Guider
from diffusion.guidance.step_caches import Drift, Span, last_of
from diffusion.samplers.protocol import Prediction
from diffusion.schedules.model_sampling import ModelSampling
from graph.values import Change


def lazily(guider: Guider, span: Span, drift: Drift) -> Guider:
    """`guider`, whose guided prediction is reused, for one job."""
    added: Tensor | None = None
    last: Prediction | None = None

    def cached(guided: Guided, x: Tensor, sigma: Tensor) -> Asking[Prediction]:
        nonlocal added, last
        if span.is_past(sigma):
            return (yield from guider(guided, x, sigma))
        movement = drift.moved(x) if span.has_begun(sigma) else None
        if drift.is_small(movement) and last is not None and added is not None:
            return last._replace(denoised=x + added)
        last = yield from guider(guided, x, sigma)
        drift.answered(x, last.denoised, last.denoised.abs().mean(), movement)
        added = last.denoised - x
        return last

    return cached


def with_lazycache(guider: Guider, changes: Iterable[Change], sampling: ModelSampling) -> Guider:
    """`guider`, or one that reuses its predictions, where a change asks for it."""
    change = last_of(changes, "lazycache")
    if change is None:
        return guider
    return lazily(guider, Span.of(change, sampling), Drift(change["reuse_threshold"]))
