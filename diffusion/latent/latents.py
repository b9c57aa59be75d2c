"""Latents made, scaled, cut and combined, with ComfyUI's results.

`samples` are [B, C, h, w], or [B, C, T, h, w] of videos, whose frames are treated alike.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from graph.choices import ScaleCrop, ScaleMethod
from graph.latent_sizes import NODE_PX
from graph.values import Latent
from imaging.compositing import paste
from imaging.resize import resize
from imaging.sizes import (
    BatchMismatchError,
    EmptyImageError,
    SizeMismatchError,
    check_size,
    match_batch,
    repeat_to_batch,
)
from imaging.transform import TURNS

SMALLEST_PX = 64
FIRST_SPACE_AXIS = 2  # behind batch and channels


def empty_latent(shape: Sequence[int]) -> Latent:
    """Zeros (ComfyUI nodes.py, EmptyLatentImage, and its kin)."""
    check_size(*shape)
    return Latent(torch.zeros(*shape))


def set_noise_mask(latent: Latent, mask: Tensor) -> Latent:
    """The latent, to be sampled where `mask` is 1 (ComfyUI nodes.py, SetLatentNoiseMask)."""
    return replace(latent, noise_mask=mask.reshape(-1, 1, *mask.shape[-2:]))


def upscale_latent(
    latent: Latent, width: int, height: int, method: ScaleMethod, crop: ScaleCrop
) -> Latent:
    """The latent of a picture of so many pixels (ComfyUI nodes.py, LatentUpscale).

    A side of 0 follows from the other, two leave all as it is.
    """
    if width == height == 0:
        return latent
    old_height, old_width = latent.samples.shape[-2:]
    width, height = width and max(SMALLEST_PX, width), height and max(SMALLEST_PX, height)
    width = width or max(SMALLEST_PX, round(old_width * height / old_height))
    height = height or max(SMALLEST_PX, round(old_height * width / old_width))
    return replace(
        latent, samples=resize(latent.samples, width // NODE_PX, height // NODE_PX, method, crop)
    )


def upscale_latent_by(latent: Latent, factor: float, method: ScaleMethod) -> Latent:
    """Both sides times `factor` (ComfyUI nodes.py, LatentUpscaleBy)."""
    height, width = latent.samples.shape[-2:]
    samples = resize(latent.samples, round(width * factor), round(height * factor), method)
    return replace(latent, samples=samples)


def crop_latent(latent: Latent, width: int, height: int, x: int, y: int) -> Latent:
    """The part inside a rectangle in picture pixels (ComfyUI nodes.py, LatentCrop)."""
    rows, columns = latent.samples.shape[-2:]
    left, top = min(x // NODE_PX, columns - NODE_PX), min(y // NODE_PX, rows - NODE_PX)
    part = latent.samples[..., top : top + height // NODE_PX, left : left + width // NODE_PX]
    if part.numel() == 0:
        raise EmptyImageError(part.shape[-1], part.shape[-2])
    return replace(latent, samples=part)


def rotate_latent(latent: Latent, rotation: str) -> Latent:
    """The latent turned clockwise (ComfyUI nodes.py, LatentRotate)."""
    return replace(
        latent, samples=torch.rot90(latent.samples, TURNS.index(rotation), dims=(-1, -2))
    )


def flip_latent(latent: Latent, method: str) -> Latent:
    """The latent upside down, or mirrored (ComfyUI nodes.py, LatentFlip)."""
    return replace(latent, samples=latent.samples.flip(-2 if method.startswith("x") else -1))


def add_latents(first: Latent, second: Latent) -> Latent:
    """The sum (ComfyUI comfy_extras/nodes_latent.py, LatentAdd)."""
    return replace(first, samples=first.samples + _like(first, second))


def subtract_latents(first: Latent, second: Latent) -> Latent:
    """The difference (ComfyUI comfy_extras/nodes_latent.py, LatentSubtract)."""
    return replace(first, samples=first.samples - _like(first, second))


def multiply_latent(latent: Latent, factor: float) -> Latent:
    """Every value times `factor` (ComfyUI comfy_extras/nodes_latent.py, LatentMultiply)."""
    return replace(latent, samples=latent.samples * factor)


def blend_latents(first: Latent, second: Latent, factor: float) -> Latent:
    """`factor` of the first and the rest of the second (ComfyUI nodes.py, LatentBlend)."""
    other = match_batch(first.samples, _same_kind(first.samples, second.samples))
    if other.shape[2:] != first.samples.shape[2:]:
        height, width = first.samples.shape[-2:]
        other = resize(other, width, height, "bicubic", "center")
    return replace(first, samples=first.samples * factor + other * (1 - factor))


def interpolate_latents(first: Latent, second: Latent, ratio: float) -> Latent:
    """Directions and lengths mixed apart, `ratio` of the first.

    ComfyUI comfy_extras/nodes_latent.py, LatentInterpolate.
    """
    a, b = first.samples, _like(first, second)
    length_a, length_b = _lengths(a), _lengths(b)
    mixed = torch.nan_to_num(a / length_a) * ratio + torch.nan_to_num(b / length_b) * (1 - ratio)
    direction = torch.nan_to_num(mixed / _lengths(mixed))
    return replace(first, samples=direction * (length_a * ratio + length_b * (1 - ratio)))


def _lengths(x: Tensor) -> Tensor:
    """The lengths of channel vectors.

    ComfyUI drops their dimension, so that as many pictures as channels swap the two. That is what
    its pictures show; where it fails, the vectors keep their own lengths.
    """
    norms: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=x.shape[0] not in {1, x.shape[1]})
    return norms


def concat_latents(first: Latent, second: Latent, dim: str) -> Latent:
    """Two latents joined along x, y or t, the second in front with a minus before the letter.

    ComfyUI comfy_extras/nodes_latent.py, LatentConcat.
    """
    parts = [first.samples, repeat_to_batch(second.samples, first.samples.shape[0])]
    check_size(sum(part.numel() for part in parts))
    axis = _axis(dim)
    first_size, second_size = (part.select(axis, 0).shape for part in parts)
    if first_size != second_size:
        raise SizeMismatchError(tuple(first_size), tuple(second_size))
    if dim.startswith("-"):
        parts.reverse()
    return replace(first, samples=torch.cat(parts, dim=axis))


def cut_latent(latent: Latent, dim: Literal["x", "y", "t"], index: int, amount: int) -> Latent:
    """`amount` slices from `index` on, which counts from the end below 0.

    ComfyUI comfy_extras/nodes_latent.py, LatentCut.
    """
    axis = _axis(dim)
    size = latent.samples.shape[axis]
    start = min(index, size - 1) if index >= 0 else max(size + index, 0)
    samples = latent.samples.narrow(axis, start, min(amount, size - start))
    return replace(latent, samples=samples)


def cut_latent_to_batch(latent: Latent, dim: Literal["x", "y", "t"], size: int) -> Latent:
    """A batch of slices of `size`; what is left over is dropped. Pictures have none along time.

    ComfyUI comfy_extras/nodes_latent.py, LatentCutToBatch.
    """
    samples = latent.samples
    axis = samples.ndim + _axis(dim)
    if axis < FIRST_SPACE_AXIS:
        return latent
    size = min(size, samples.shape[axis])
    whole = samples.narrow(axis, 0, samples.shape[axis] // size * size)
    parts = whole.unflatten(axis, (-1, size)).movedim(axis, 1).flatten(0, 1)
    return replace(latent, samples=parts)


def trim_latent(latent: Latent, amount: int) -> Latent:
    """A video without its first frames (ComfyUI comfy_extras/nodes_wan.py, TrimVideoLatent)."""
    return replace(latent, samples=latent.samples[:, :, amount:])


def composite_latents(
    destination: Latent, source: Latent, at: tuple[int, int], feather: int
) -> Latent:
    """`source` laid over `destination`, fading in over `feather` picture pixels.

    A side of the source fades unless it lies on the edge of the destination; `at` is (x, y) in
    picture pixels. Source: ComfyUI nodes.py, LatentComposite.
    """
    x, y = at[0] // NODE_PX, at[1] // NODE_PX
    height, width = destination.samples.shape[-2:]
    result = destination.samples.clone()
    over = _same_kind(result, source.samples).to(result)
    under = result[..., y : y + over.shape[-2], x : x + over.shape[-1]]
    over = over[..., : under.shape[-2], : under.shape[-1]]
    if over.shape[0] not in {1, under.shape[0]}:
        raise BatchMismatchError(under.shape[0], over.shape[0])
    rows, columns = over.shape[-2:]
    fade = _fade(rows, feather // NODE_PX, start=y != 0, end=y + rows < height)[:, None]
    fade = (fade * _fade(columns, feather // NODE_PX, start=x != 0, end=x + columns < width)).to(
        result
    )
    under.copy_(over * fade + under * (1 - fade))
    return replace(destination, samples=result)


def _fade(size: int, feather: int, *, start: bool, end: bool) -> Tensor:
    """[size] weights rising from the start and falling to the end, over `feather` of them."""
    weights = torch.ones(size)
    for step in range(feather):
        share = (step + 1) / feather
        if start:
            weights[step : step + 1] *= share
        if end:  # past the start this counts from the end again, as ComfyUI's indices do
            weights[size - 1 - step : size - step] *= share
    return weights


def composite_latents_masked(
    destination: Latent,
    source: Latent,
    at: tuple[int, int],
    mask: Tensor | None,
    *,
    resize_source: bool,
) -> Latent:
    """`source` laid over `destination` at (x, y) in picture pixels, where `mask` is 1.

    ComfyUI comfy_extras/nodes_mask.py, LatentCompositeMasked.
    """
    place = at[0] // NODE_PX, at[1] // NODE_PX
    over = _same_kind(destination.samples, source.samples)
    samples = paste(destination.samples, over, place, mask, resize_source=resize_source)
    return replace(destination, samples=samples)


def _axis(dim: str) -> int:
    return {"x": -1, "y": -2, "t": -3}[dim.removeprefix("-")]


def _like(first: Latent, second: Latent) -> Tensor:
    """The samples of the second in the size and number of the first."""
    return repeat_to_batch(fit(first.samples, second.samples), first.samples.shape[0])


def fit(samples: Tensor, other: Tensor) -> Tensor:
    """`other` scaled to the height and width of `samples` (nodes_latent.py, reshape_latent_to).

    Raises:
        SizeMismatchError: they are of different kinds of latents.
    """
    height, width = samples.shape[-2:]
    same = _same_kind(samples, other).shape[1:] == samples.shape[1:]
    return other if same else resize(other, width, height, "bilinear", "center")


def _same_kind(samples: Tensor, other: Tensor) -> Tensor:
    """`other`, if it has as many channels and frames as `samples`, or one for all."""
    kinds = samples.shape[1:-2], other.shape[1:-2]
    if len(kinds[0]) != len(kinds[1]) or any(
        a != b and 1 not in {a, b} for a, b in zip(*kinds, strict=True)
    ):
        raise SizeMismatchError(tuple(samples.shape), tuple(other.shape))
    return other
