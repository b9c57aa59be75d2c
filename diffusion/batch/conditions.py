"""Joins and mixes conditionings; sets their area, time range and strength.

A conditioning is a tuple of Conditions; what they say is worked out against a latent in
conditioning.py. (ComfyUI nodes.py, the Conditioning* classes.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graph.errors import ServiceError
from graph.latent_sizes import NODE_PX
from graph.values import Condition, Conditioning, Latent


@dataclass(eq=False)
class ConditioningMismatchError(ServiceError):
    """Conditionings of two families of text encoders."""

    status = 422
    code = "conditioning_mismatch"
    template = "Conditionings of width {first} and {second} cannot be combined."
    first: int
    second: int


def combine_conditionings(first: Conditioning, second: Conditioning) -> Conditioning:
    """Both, each in its own right: their predictions are averaged."""
    return (*first, *second)


def concat_conditionings(to: Conditioning, source: Conditioning) -> Conditioning:
    """The tokens of the first of `source` after those of each in `to`."""
    ending = source[0].tokens
    return tuple(replace(c, tokens=torch.cat(_alike(c.tokens, ending), dim=1)) for c in to)


def average_conditionings(to: Conditioning, source: Conditioning, strength: float) -> Conditioning:
    """`strength` of each in `to` and the rest of the first of `source`, token by token."""
    return tuple(_averaged(condition, source[0], strength) for condition in to)


def _averaged(to: Condition, source: Condition, strength: float) -> Condition:
    tokens, others = _alike(to.tokens, source.tokens)
    others = functional.pad(others, (0, 0, 0, max(0, tokens.shape[1] - others.shape[1])))
    mixed = tokens * strength + others[:, : tokens.shape[1]] * (1.0 - strength)
    pooled = to.pooled
    if source.pooled is not None:
        pooled = source.pooled if pooled is None else pooled
        pooled = pooled * strength + source.pooled * (1.0 - strength)
    return replace(to, tokens=mixed, pooled=pooled)


def _alike(first: Tensor, second: Tensor) -> list[Tensor]:
    """Both, once it is sure that they can be put together along their tokens."""
    if first.shape[-1] != second.shape[-1]:
        raise ConditioningMismatchError(first.shape[-1], second.shape[-1])
    batch = max(len(first), len(second))
    return [tokens.expand(batch, -1, -1) for tokens in (first, second)]


def set_area(
    conditioning: Conditioning, *, width: int, height: int, x: int, y: int, strength: float
) -> Conditioning:
    """Apply in a rectangle, in picture pixels."""
    area = (height // NODE_PX, width // NODE_PX, y // NODE_PX, x // NODE_PX)
    return _each(
        conditioning, area=area, area_in_percent=False, strength=strength, mask_bounds=False
    )


def set_area_percentage(
    conditioning: Conditioning, *, width: float, height: float, x: float, y: float, strength: float
) -> Conditioning:
    """Apply in a rectangle, in parts of the picture."""
    area = (height, width, y, x)
    return _each(
        conditioning, area=area, area_in_percent=True, strength=strength, mask_bounds=False
    )


def set_strength(conditioning: Conditioning, strength: float) -> Conditioning:
    return _each(conditioning, strength=strength)


def set_mask(
    conditioning: Conditioning, mask: Tensor, strength: float, *, bounds: bool
) -> Conditioning:
    """Apply where `mask` [B, H, W] is 1; with `bounds` the model sees just the box around that."""
    mask = mask.unsqueeze(0) if mask.ndim == 2 else mask
    return _each(conditioning, mask=mask, mask_strength=strength, mask_bounds=bounds)


def crop_masks(
    conditioning: Conditioning, region: tuple[int, int, int, int], size: tuple[int, int]
) -> Conditioning:
    """Prompts of a region x1, y1, x2, y2 of a picture of height and width: their masks are cut."""

    def cut(condition: Condition) -> Condition:
        mask = condition.mask
        if mask is None:
            return condition
        # Impact Pack takes the height's scale for x, and the width's for y (core.py).
        scales = mask.shape[1] / size[0], mask.shape[2] / size[1]
        x1, y1, x2, y2 = (round(v * scales[k % 2]) for k, v in enumerate(region))
        return replace(condition, mask=mask[:, y1:y2, x1:x2])

    return tuple(map(cut, conditioning))


def set_timestep_range(conditioning: Conditioning, start: float, end: float) -> Conditioning:
    """Apply from one part of the schedule to another, 0..1."""
    return _each(conditioning, start_percent=start, end_percent=end)


def zero_out(conditioning: Conditioning) -> Conditioning:
    """Say nothing: zeros for the tokens and the pooled text."""
    return tuple(
        replace(
            condition,
            tokens=torch.zeros_like(condition.tokens),
            pooled=None if condition.pooled is None else torch.zeros_like(condition.pooled),
        )
        for condition in conditioning
    )


def with_extras(conditioning: Conditioning, **extras: Any) -> Conditioning:
    """Conditionings that carry more, under ComfyUI's names."""
    return tuple(replace(c, extras={**c.extras, **extras}) for c in conditioning)


def with_more(conditioning: Conditioning, **lists: Sequence[Any]) -> Conditioning:
    """Conditionings whose lists under ComfyUI's names go on."""
    return tuple(
        replace(
            c,
            extras={
                **c.extras,
                **{name: (*c.extras.get(name, ()), *more) for name, more in lists.items()},
            },
        )
        for c in conditioning
    )


def with_reference(conditioning: Conditioning, latent: Latent) -> Conditioning:
    """Conditionings with one more picture to go by."""
    return with_more(conditioning, reference_latents=(latent.samples,))


def _each(conditioning: Conditioning, **values: Any) -> Conditioning:
    return tuple(replace(condition, **values) for condition in conditioning)
