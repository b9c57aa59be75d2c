"""Guidance changes that are applied to a model: one function each, and tables that name them.

A change acts before guidance (on the predictions), instead of it (the combination) or after it.
Those after it may ask the model again, so they are generators. Each job starts its own: what a
change remembers of earlier steps is in its closure.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.rows import Asking
from diffusion.guidance.attention_blur import blurred_where_attended
from diffusion.guidance.guided import (
    After,
    AskingCombine,
    Before,
    Combine,
    GuidanceChanges,
    Predicted,
)
from diffusion.guidance.scaling import (
    epsilon_scaling,
    frequencies,
    linear,
    operation,
    over_batch,
    renorm_cfg,
    triangle,
)
from diffusion.guidance.skip_layers import skip_layer_guidance
from graph.values import Change, Conditioning

PERP_NEG = "perp_neg"  # options: neg_scale, and the conditioning of no prompt
NO_PROMPT = "perp_neg_nothing"  # the name of that among a job's prompts
PICTURE = (1, 2, 3)  # all axes of [B, C, h, w] but the batch


def perpendicular(
    cond: Tensor, uncond: Tensor, nothing: Tensor, neg_scale: float, scale: float
) -> Tensor:
    """Guidance by what of the negative is perpendicular to the positive, over the whole batch.

    (Armandpour et al. 2023, eq. 6; ComfyUI comfy_extras/nodes_perpneg.py, perp_neg)
    """
    positive, negative = cond - nothing, uncond - nothing
    length: Tensor = torch.linalg.vector_norm(positive)
    along = (negative * positive).sum() / length**2
    return nothing + scale * (positive - (negative - along * positive) * neg_scale)


def perp_neg(change: Change) -> AskingCombine:
    """As the guider of that name, applied to a model: asks what is predicted of no prompt."""
    neg_scale = float(change["neg_scale"])

    def combine(predicted: Predicted) -> Asking[Tensor]:
        (nothing,) = yield from predicted.guided.predict(predicted.x, predicted.sigma, NO_PROMPT)
        return perpendicular(predicted.cond, predicted.uncond, nothing, neg_scale, predicted.scale)

    return combine


def rescale_cfg(change: Change) -> Combine:
    """Guidance in v, its spread brought back towards the positive's (Lin et al. 2023, sec. 3.4)."""
    multiplier = float(change["multiplier"])

    def combine(predicted: Predicted) -> Tensor:
        sigma, scale = predicted.sigma, predicted.scale
        total = sigma**2 + 1.0
        x = predicted.x / total
        cond = (x - predicted.cond) * total**0.5 / sigma
        uncond = (x - predicted.uncond) * total**0.5 / sigma
        guided = uncond + scale * (cond - uncond)
        spread = cond.std(dim=PICTURE, keepdim=True) / guided.std(dim=PICTURE, keepdim=True)
        mixed = multiplier * guided * spread + (1.0 - multiplier) * guided
        denoised: Tensor = x - mixed * sigma / total**0.5
        return denoised

    return combine


def tcfg(_: Change) -> Before:
    """The negative's score without what is tangential to the positive's (arXiv 2503.18137)."""

    def before(predicted: Predicted) -> Predicted:
        if predicted.uncond_name is None:
            return predicted
        cond, uncond = predicted.x - predicted.cond, predicted.x - predicted.uncond
        flat = torch.stack([uncond.flatten(1), cond.flatten(1)], dim=1).float()
        _, _, basis = torch.linalg.svd(flat, full_matrices=False)
        main = basis[:, :1]
        damped = (flat[:, :1] @ main.transpose(1, 2)) * main
        return replace(predicted, uncond=predicted.x - damped.reshape_as(uncond).to(uncond.dtype))

    return before


def apg(change: Change) -> Before:
    """Guidance split along and across the positive, limited, with momentum (arXiv 2410.02416)."""
    eta, limit, momentum = (float(change[n]) for n in ("eta", "norm_threshold", "momentum"))
    average: Tensor | None = None
    last_sigma: float | None = None

    def remembered(guidance: Tensor, sigma: float) -> Tensor:
        nonlocal average, last_sigma
        if last_sigma is not None and sigma > last_sigma:
            average = None
        last_sigma = sigma
        if momentum == 0:
            return guidance
        average = guidance if average is None else momentum * average + guidance
        return average

    def before(predicted: Predicted) -> Predicted:
        cond, uncond = predicted.cond, predicted.uncond
        guidance = remembered(cond - uncond, float(predicted.sigma))
        if limit > 0:
            norm = guidance.norm(p=2, dim=PICTURE, keepdim=True)
            guidance = guidance * (limit / norm).clamp(max=1.0)
        direction = functional.normalize(cond, dim=PICTURE)  # type: ignore[arg-type]
        along = (guidance * direction).sum(dim=PICTURE, keepdim=True) * direction
        moved = uncond + (guidance - along) + eta * along
        return replace(predicted, cond=moved + (cond - uncond) / predicted.scale)

    return before


def mahiro(_: Change) -> After:
    """Guidance weighed by how far it agrees in direction with the positive alone."""

    def after(predicted: Predicted, denoised: Tensor) -> Tensor:
        leap = predicted.cond * predicted.scale
        merged = (leap + denoised) / 2
        similarity = functional.cosine_similarity(
            _signed_root(predicted.uncond * predicted.scale), _signed_root(merged)
        ).mean()
        weight = 2 * (similarity + 1)
        return (weight * denoised + (4 - weight) * leap) / 4

    return unasking(after)


def _signed_root(x: Tensor) -> Tensor:
    return x.abs().sqrt() * x.sign()


def cfg_zero_star(_: Change) -> After:
    """The negative scaled to fit the positive best (arXiv 2503.18886)."""

    def after(predicted: Predicted, denoised: Tensor) -> Tensor:
        uncond = predicted.uncond
        positive = (predicted.x - predicted.cond).flatten(1)
        negative = (predicted.x - uncond).flatten(1)
        fit = (positive * negative).sum(1) / ((negative**2).sum(1) + 1e-8)
        alpha = fit.reshape(-1, *[1] * (uncond.ndim - 1))
        return denoised + uncond * (alpha - 1.0) + predicted.scale * uncond * (1.0 - alpha)

    return unasking(after)


def cfg_norm(change: Change) -> After:
    """No pixel of the latent longer than the positive's own."""
    strength = float(change["strength"])

    def after(predicted: Predicted, denoised: Tensor) -> Tensor:
        limit: Tensor = torch.linalg.vector_norm(predicted.cond, dim=1, keepdim=True)
        length: Tensor = torch.linalg.vector_norm(denoised, dim=1, keepdim=True) + 1e-8
        return denoised * (limit / length).clamp(0.0, 1.0) * strength

    return unasking(after)


def perturbed_attention(change: Change) -> After:
    """Away from a prediction whose middle self-attention sees nothing (Ahn et al. 2024)."""
    scale = float(change["scale"])

    def after(predicted: Predicted, denoised: Tensor) -> Asking[Tensor]:
        if scale == 0:
            return denoised
        blind = predicted.guided.patched(Change("identity_attention"))
        (perturbed,) = yield from blind.predict(predicted.x, predicted.sigma, predicted.cond_name)
        return denoised + (predicted.cond - perturbed) * scale

    return after


def self_attention(change: Change) -> After:
    """Away from a prediction of a picture blurred where it attends (Hong et al. 2023)."""
    scale, blur_sigma = float(change["scale"]), float(change["blur_sigma"])

    def after(predicted: Predicted, denoised: Tensor) -> Asking[Tensor]:
        attention = predicted.guided.recorded.get(predicted.uncond_name)
        if attention is None or min(denoised.shape[-2:]) <= 4:  # too small to reflect its edges
            return denoised
        degraded = blurred_where_attended(predicted.uncond, attention, blur_sigma)
        noised = degraded + predicted.x - predicted.uncond
        plain = predicted.guided.patched()
        (again,) = yield from plain.predict(noised, predicted.sigma, predicted.uncond_name)
        return denoised + (degraded - again) * scale

    return after


def unasking(change: Callable[[Predicted, Tensor], Tensor]) -> After:
    """`change` as a generator that has nothing to ask."""

    def after(predicted: Predicted, denoised: Tensor) -> Asking[Tensor]:
        yield from ()
        return change(predicted, denoised)

    return after


BEFORE: Mapping[str, Callable[[Change], Before]] = MappingProxyType(
    {"tcfg": tcfg, "apg": apg, "frequencies": frequencies, "latent_operation_cfg": operation}
)
COMBINE: Mapping[str, Callable[[Change], Combine]] = MappingProxyType(
    {
        "rescale_cfg": rescale_cfg,
        "renorm_cfg": renorm_cfg,
        "linear_cfg": over_batch(linear),
        "triangle_cfg": over_batch(triangle),
    }
)
ASKING: Mapping[str, Callable[[Change], AskingCombine]] = MappingProxyType({PERP_NEG: perp_neg})
AFTER: Mapping[str, Callable[[Change], After]] = MappingProxyType(
    {
        "mahiro": mahiro,
        "cfg_zero_star": cfg_zero_star,
        "cfg_norm": cfg_norm,
        "epsilon_scaling": epsilon_scaling,
        "perturbed_attention": perturbed_attention,
        "self_attention_guidance": self_attention,
        "skip_layer_guidance": skip_layer_guidance,
    }
)
GUIDANCE_CHANGES = frozenset({*BEFORE, *COMBINE, *ASKING, *AFTER})
# Changes for which a scale of 1 asks for the negative too.
NEED_UNCOND = frozenset({"self_attention_guidance"})


def start_changes(changes: Iterable[Change]) -> GuidanceChanges:
    """Fresh guidance changes for one job. Of those that combine, the last one counts."""
    applied = list(changes)
    combining = [change for change in applied if change.kind in COMBINE or change.kind in ASKING]
    last = combining[-1] if combining else None
    return GuidanceChanges(
        tuple(BEFORE[change.kind](change) for change in applied if change.kind in BEFORE),
        COMBINE[last.kind](last) if last and last.kind in COMBINE else None,
        ASKING[last.kind](last) if last and last.kind in ASKING else None,
        tuple(AFTER[change.kind](change) for change in applied if change.kind in AFTER),
        any(change.kind in NEED_UNCOND for change in applied),
    )


def prompts_of(changes: Iterable[Change]) -> dict[str, Conditioning]:
    """Conditionings that changes bring along, by name."""
    brought = [change["nothing"] for change in changes if change.kind == PERP_NEG]
    return {NO_PROMPT: brought[-1]} if brought else {}
