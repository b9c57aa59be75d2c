"""Prepares a job's prompts from its conditions. (ComfyUI comfy/samplers.py, process_conds)"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.fitting import repeat_to
from diffusion.batch.frame import Frame
from diffusion.batch.grounding import prompt_grounding
from diffusion.batch.prompts import Box, Embedding, Prompt, Region
from graph.errors import ServiceError
from graph.values import Condition, Conditioning

Lent = TypeVar("Lent")
SMALLEST_BOUNDS = 8  # latent pixels, of an area drawn around a mask
# What a condition, of a conditioning of this name, says to a model.
Embed: TypeAlias = Callable[[Condition, str, Frame], Embedding]


@dataclass(eq=False)
class TextWidthError(ServiceError):
    """A conditioning that was encoded for models of another family."""

    status = 422
    code = "conditioning_mismatch"
    template = (
        "The {name} conditioning has text of width {received}, this model reads {expected}: "
        "it was encoded for models of another family."
    )
    name: str
    expected: int
    received: int


def check_widths(conditionings: Iterable[tuple[str, Conditioning]], expected: int) -> None:
    """Raises TextWidthError for the first conditioning whose text is not `expected` wide."""
    for name, conditions in conditionings:
        for condition in conditions:
            received = int(condition.tokens.shape[-1])
            if received != expected:
                raise TextWidthError(name, expected, received)


def prepare(
    conditionings: Mapping[str, Sequence[Condition]], frame: Frame, embed: Embed
) -> dict[str, tuple[Prompt, ...]]:
    """The prompts of every named conditioning, with missing areas completed between them.

    `embed` says what a condition says to the model.
    """
    prompts = {
        name: [
            Prompt(
                _region(condition, frame),
                embed(condition, name, frame),
                frame.shape,
                tuple(frame.controls[use] for use in condition.controls),
                condition.control_apply_to_uncond,
                prompt_grounding(condition.grounding, frame.groundings),
                frame.hooks.get(condition.hooks),
                condition.default,
            )
            for condition in conditions
        ]
        for name, conditions in conditionings.items()
    }
    for name, own in prompts.items():
        for prompt in own:
            for other, theirs in prompts.items():
                if other != name:
                    _complete(theirs, prompt)
    lend_controls(prompts)
    return {name: tuple(own) for name, own in prompts.items()}


def _complete(prompts: list[Prompt], other: Prompt) -> None:
    """Let `prompts` have one in just `other`'s region and under its controls.

    So guidance there compares like with like. The smallest that covers the region speaks for it.
    (create_cond_with_same_area_if_none)
    """
    region = other.region
    if region.box is None:
        return
    covering = [p for p in prompts if p.region.box is None or p.region.box.contains(region.box)]
    if not covering:
        return
    in_areas = [prompt for prompt in covering if prompt.region.box is not None]
    smallest = min(in_areas or covering[:1], key=_box_size)
    if smallest.region.box != region.box:
        found = replace(smallest, region=region, controls=other.controls)
        prompts.append(replace(found, grounding=other.grounding, hooks=other.hooks))


def _box_size(prompt: Prompt) -> float:
    return math.inf if prompt.region.box is None else prompt.region.box.size


def _region(condition: Condition, frame: Frame) -> Region:
    mask = _resized(condition.mask, frame)
    box = _box(condition, frame)
    if mask is not None and condition.mask_bounds:
        box = _bounds(mask)
    start, end = condition.encoded_for
    return Region(
        box,
        mask,
        condition.strength,
        condition.mask_strength,
        frame.sampling.percent_to_sigma(max(condition.start_percent, start)),
        frame.sampling.percent_to_sigma(min(condition.end_percent, end)),
    )


def _box(condition: Condition, frame: Frame) -> Box | None:
    if condition.area is None:
        return None
    if not condition.area_in_percent:
        return Box(*(int(value) for value in condition.area))
    height, width = frame.shape[-2:]
    h, w, y, x = condition.area
    size = (max(1, round(h * height)), max(1, round(w * width)))
    return Box(*size, round(y * height), round(x * width))


def _resized(mask: Tensor | None, frame: Frame) -> Tensor | None:
    if mask is None:
        return None
    mask = mask.to(frame.device, torch.float32)
    mask = mask.unsqueeze(0) if mask.ndim == 2 else mask
    if mask.shape[-2:] == frame.shape[-2:]:
        return mask
    return functional.interpolate(
        mask.unsqueeze(1), size=tuple(frame.shape[-2:]), mode="bilinear"
    ).squeeze(1)


def _bounds(mask: Tensor) -> Box:
    """The box around what is not zero in any picture of the mask."""
    rows, columns = torch.nonzero(mask.abs().amax(dim=0), as_tuple=True)
    if len(rows) == 0:
        return Box(SMALLEST_BOUNDS, SMALLEST_BOUNDS, 0, 0)
    y, x = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) - y + 1, int(columns.max()) - x + 1
    return Box(max(SMALLEST_BOUNDS, height), max(SMALLEST_BOUNDS, width), y, x)


def lend_controls(prompts: Mapping[str, list[Prompt]]) -> None:
    """Put the prompts beside the positive that have no control under that of its lenders.

    Boxes of text are lent in the same way, by all that have some. Only what applies to the whole
    picture lends or borrows. Writes to the lists.
    """
    whole = [p for p in prompts.get("positive", ()) if p.region.box is None]
    controls = [p.controls for p in whole if p.lends_controls and p.controls]
    boxes = [p.grounding for p in whole if p.grounding is not None]
    for name, own in prompts.items():
        if name != "positive":
            _lend(own, controls, lambda p: p.controls, lambda p, lent: replace(p, controls=lent))
            _lend(own, boxes, lambda p: p.grounding, lambda p, lent: replace(p, grounding=lent))


def _lend(
    own: list[Prompt],
    lent: Sequence[Lent],
    has: Callable[[Prompt], Any],
    under: Callable[[Prompt, Lent], Prompt],
) -> None:
    whole = [place for place, prompt in enumerate(own) if prompt.region.box is None]
    if not whole or any(has(own[place]) for place in whole):
        return
    for turn, one in enumerate(lent):
        place = whole[turn % len(whole)]
        own[place] = under(own[place], one)


def batched(tensor: Tensor, frame: Frame) -> Tensor:
    """[1, ...], which serves any batch, or one entry for every picture."""
    tensor = tensor.to(frame.device, torch.float32)
    return tensor if len(tensor) == 1 else repeat_to(tensor, frame.shape[0])
