"""Conditions made ready for one job: where, when and with what a prompt applies, once and for all.

A graph `Condition` says its area in pixels or parts, its mask in picture size and its time in parts
of the schedule. A `Prompt` is the same against one latent batch and one noise schedule.
(ComfyUI comfy/samplers.py, process_conds; comfy/model_base.py, extra_conds.)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.frame import Frame, repeat_to
from diffusion.control.controlled import lend_controls
from diffusion.families.flux.conditions import transformer_extras
from diffusion.families.sd.concat import concat_channels
from diffusion.networks.layers import sinusoids
from diffusion.vision.unclip import KEY, unclip_vector
from graph.errors import ServiceError
from graph.values import Condition

if TYPE_CHECKING:
    from diffusion.batch.controls import Control

FEATHER = 8  # latent pixels over which the edge of an area fades
SMALLEST_BOUNDS = 8  # latent pixels, of an area drawn around a mask
SINUSOIDS = 256  # numbers that stand for one size
NEGATIVES = frozenset({"negative", "middle", "empty_negative_prompt"})  # scored low by default


@dataclass(eq=False)
class AreaOutsideError(ServiceError):
    """A condition's area that begins outside the picture."""

    status = 422
    code = "area_outside_latent"
    template = "The area at x {x}, y {y} is outside a latent of {width} by {height}."
    x: int
    y: int
    width: int
    height: int


@dataclass(eq=False)
class PooledTextMissingError(ServiceError):
    """A conditioning made for another family of models."""

    status = 422
    code = "pooled_text_missing"
    template = "The {name} conditioning has no pooled text, which this model needs."
    name: str


@dataclass(frozen=True)
class Box:
    """A rectangle in latent pixels."""

    height: int
    width: int
    y: int
    x: int

    @property
    def size(self) -> int:
        return self.height * self.width

    def crop(self, tensor: Tensor) -> Tensor:
        """The part of [..., h, w] inside this box, as a view."""
        return tensor[..., self.y : self.y + self.height, self.x : self.x + self.width]

    def contains(self, other: "Box") -> bool:
        return (
            other.y >= self.y
            and other.x >= self.x
            and other.y + other.height <= self.y + self.height
            and other.x + other.width <= self.x + self.width
        )

    def within(self, height: int, width: int) -> "Box":
        """This box cut off at the picture's lower and right edge. Raises AreaOutsideError."""
        if self.y >= height or self.x >= width:
            raise AreaOutsideError(self.x, self.y, width, height)
        return replace(
            self, height=min(self.height, height - self.y), width=min(self.width, width - self.x)
        )


@dataclass(frozen=True, eq=False)
class Region:
    """Where, when and how strongly a prompt applies."""

    box: Box | None
    mask: Tensor | None  # [B, h, w]
    strength: float
    mask_strength: float
    first_sigma: float  # applies while first_sigma >= sigma >= last_sigma
    last_sigma: float


@dataclass(frozen=True, eq=False)
class Embedding:
    """What a prompt says to the UNet, for the whole picture."""

    context: Tensor  # [B or 1, T, D]
    y: Tensor | None  # [B or 1, Y], pooled text and sizes of SDXL and its refiner
    concat: Tensor | None  # [B, C, h, w], channels beside the latent's own
    # Read by transformers alone:
    guidance: float | None = None  # how strongly a distilled model follows the prompt
    references: tuple[Tensor, ...] = ()  # [B or 1, C, h', w'], pictures to go by
    reference_places: str = "offset"  # where they are put beside the picture
    bias: Tensor | None = None  # [T, T + 1], what attention adds for text, and the picture's last


@dataclass(frozen=True, eq=False)
class Prompt:
    """One condition, ready: an embedding in a region of one job's latent batch."""

    region: Region
    embedding: Embedding
    shape: torch.Size  # [B, C, h, w], the job's latents
    controls: "tuple[Control, ...]" = ()
    lends_controls: bool = False

    @cached_property
    def box(self) -> Box | None:
        """The region's box inside the picture; None is all of it."""
        box = self.region.box
        return None if box is None else box.within(*self.shape[-2:])

    @cached_property
    def concat(self) -> Tensor | None:
        concat = self.embedding.concat
        return concat if self.box is None or concat is None else self.box.crop(concat)

    @cached_property
    def weight(self) -> Tensor | None:
        """How much a prediction counts, [B or 1, 1, h, w] of the box; None is 1 everywhere."""
        region = self.region
        if region.mask is not None:
            return self._masked(region.mask)
        if self.box is not None:
            return _feathered(self.box, self.shape, self.embedding.context.device) * region.strength
        if region.strength == 1.0:
            return None
        return torch.full((1, 1, 1, 1), region.strength, device=self.embedding.context.device)

    def _masked(self, mask: Tensor) -> Tensor:
        batch = self.shape[0]
        part = mask[:batch] if self.box is None else self.box.crop(mask[:batch])
        weight = (part * self.region.mask_strength * self.region.strength).unsqueeze(1)
        return weight.repeat(batch // len(weight), 1, 1, 1)

    def applies(self, sigma: float) -> bool:
        return self.region.last_sigma <= sigma <= self.region.first_sigma


def prepare(
    conditionings: Mapping[str, Sequence[Condition]], frame: Frame
) -> dict[str, tuple[Prompt, ...]]:
    """The prompts of every named conditioning, with missing areas completed between them."""
    prompts = {
        name: [
            Prompt(
                _region(condition, frame),
                _embedding(condition, name, frame),
                frame.shape,
                tuple(frame.controls[use] for use in condition.controls),
                condition.control_apply_to_uncond,
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
        prompts.append(replace(smallest, region=region, controls=other.controls))


def _box_size(prompt: Prompt) -> float:
    return math.inf if prompt.region.box is None else prompt.region.box.size


def _region(condition: Condition, frame: Frame) -> Region:
    mask = _resized(condition.mask, frame)
    box = _box(condition, frame)
    if mask is not None and condition.mask_bounds:
        box = _bounds(mask)
    return Region(
        box,
        mask,
        condition.strength,
        condition.mask_strength,
        frame.sampling.percent_to_sigma(condition.start_percent),
        frame.sampling.percent_to_sigma(condition.end_percent),
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


def _feathered(box: Box, shape: torch.Size, device: torch.device) -> Tensor:
    """Ones [1, 1, h, w] that fade linearly towards each edge that is not the picture's."""
    y = _fade(box.height, box.y > 0, box.y + box.height < shape[-2], device)
    x = _fade(box.width, box.x > 0, box.x + box.width < shape[-1], device)
    return (y[:, None] * x[None, :])[None, None]


def _fade(length: int, at_start: bool, at_end: bool, device: torch.device) -> Tensor:
    weights = torch.ones(length, device=device)
    width = min(FEATHER, length // 4)
    if width == 0:
        return weights
    ramp = torch.arange(1, width + 1, device=device) * (1.0 / width)
    if at_start:
        weights[:width] *= ramp
    if at_end:
        weights[length - width :] *= ramp.flip(0)
    return weights


def _embedding(condition: Condition, name: str, frame: Frame) -> Embedding:
    return Embedding(
        context=_batched(condition.tokens, frame),
        y=None if frame.y_kind == "none" else _vector(condition, name, frame),
        concat=concat_channels(condition.extras, frame),
        **(transformer_extras(condition, frame) if frame.y_kind == "pooled" else {}),
    )


def _batched(tensor: Tensor, frame: Frame) -> Tensor:
    """[1, ...], which serves any batch, or one entry for every picture."""
    tensor = tensor.to(frame.device, torch.float32)
    return tensor if len(tensor) == 1 else repeat_to(tensor, frame.shape[0])


def _vector(condition: Condition, name: str, frame: Frame) -> Tensor:
    """The pooled text, for U-Nets followed by the picture's sizes as sinusoids; or what was seen.

    (ComfyUI comfy/model_base.py, SDXL.encode_adm and SDXLRefiner.encode_adm)
    """
    if frame.y_kind == "unclip":
        seen = condition.extras.get(KEY, ())
        return unclip_vector(seen, frame.y_width, frame.seed).to(frame.device)
    if condition.pooled is None:
        raise PooledTextMissingError(name)
    pooled = _batched(condition.pooled, frame)
    if frame.y_kind == "pooled":
        return pooled
    sizes = torch.tensor(_sizes(condition, name, frame), dtype=torch.float32)
    waves = sinusoids(sizes, SINUSOIDS).flatten().to(frame.device).expand(len(pooled), -1)
    return torch.cat([pooled, waves], dim=1)


def _sizes(condition: Condition, name: str, frame: Frame) -> list[float]:
    """Size, crop and aim (SDXL) or score (refiner), in the order in which they are embedded."""
    extras = condition.extras
    width = extras.get("width", frame.shape[-1] * 8)
    height = extras.get("height", frame.shape[-2] * 8)
    sizes = [height, width, extras.get("crop_h", 0), extras.get("crop_w", 0)]
    if frame.y_kind == "sdxl":
        return [*sizes, extras.get("target_height", height), extras.get("target_width", width)]
    negative = extras.get("prompt_type", name) in NEGATIVES
    return [*sizes, extras.get("aesthetic_score", 2.5 if negative else 6.0)]
