"""Batches of latents: parts, repeats, joins, and whose noise each picture gets.

`batch_index` numbers the pictures for the noise; without it they count from 0.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from diffusion.latent.latents import fit
from graph.latent_sizes import NODE_PX
from graph.values import Latent
from imaging.sizes import SizeMismatchError, check_size, repeat_to_batch


def latent_from_batch(latent: Latent, first: int, length: int) -> Latent:
    """At most `length` pictures from `first` on (ComfyUI nodes.py, LatentFromBatch)."""
    batch = latent.samples.shape[0]
    first = min(first, batch - 1)
    part = slice(first, min(first + length, batch))
    mask = latent.noise_mask
    if mask is not None and mask.shape[0] > 1:
        mask = repeat_to_batch(mask, max(batch, mask.shape[0]))[part]
    return Latent(latent.samples[part], mask, _indices(latent)[part])


def repeat_latent(latent: Latent, amount: int) -> Latent:
    """The whole batch, `amount` times; numbered pictures go on counting.

    ComfyUI nodes.py, RepeatLatentBatch.
    """
    check_size(amount, *latent.samples.shape)
    mask, index = latent.noise_mask, latent.batch_index
    if mask is not None and mask.shape[0] > 1:
        mask = mask.repeat(amount, *[1] * (mask.ndim - 1))
    if index is not None:
        span = max(index) - min(index) + 1
        index = tuple(number + k * span for k in range(amount) for number in index)
    samples = latent.samples.repeat(amount, *[1] * (latent.samples.ndim - 1))
    return Latent(samples, mask, index)


def batch_latents(first: Latent, second: Latent) -> Latent:
    """One batch of two, in the size of the first; each keeps its numbers.

    ComfyUI comfy_extras/nodes_latent.py, LatentBatch.
    """
    other = fit(first.samples, second.samples)
    if other.shape[1:] != first.samples.shape[1:]:
        raise SizeMismatchError(tuple(first.samples.shape), tuple(other.shape))
    check_size(first.samples.numel() + other.numel())
    samples = torch.cat([first.samples, other])
    return replace(first, samples=samples, batch_index=_indices(first) + _indices(second))


def set_seed_behavior(latent: Latent, behavior: Literal["random", "fixed"]) -> Latent:
    """Noise of its own for every picture, or that of the first for all.

    ComfyUI comfy_extras/nodes_latent.py, LatentBatchSeedBehavior.
    """
    if behavior == "random":
        return replace(latent, batch_index=None)
    return replace(latent, batch_index=_indices(latent)[:1] * latent.samples.shape[0])


def rebatch_latents(latents: Sequence[Latent], batch_size: int) -> tuple[Latent, ...]:
    """All pictures, in batches of at most `batch_size` of one size.

    ComfyUI comfy_extras/nodes_rebatch.py, LatentRebatch.
    """
    counted: list[Latent] = []
    for latent in latents:
        before = sum(len(other.samples) for other in counted)
        counted.append(replace(latent, batch_index=_indices(latent, before)))
    return tuple(
        part
        for _, run in groupby(counted, lambda latent: latent.samples.shape[2:])
        for part in _split(_joined(list(run)), batch_size)
    )


def _joined(latents: Sequence[Latent]) -> Latent:
    return Latent(
        torch.cat([latent.samples for latent in latents]),
        torch.cat([_mask(latent) for latent in latents]),
        tuple(number for latent in latents for number in _indices(latent)),
    )


def _split(latent: Latent, batch_size: int) -> list[Latent]:
    """The batch in parts; where a part's mask leaves nothing out it has none."""
    parts = []
    for start in range(0, latent.samples.shape[0], batch_size):
        part = slice(start, start + batch_size)
        mask = None if latent.noise_mask is None else latent.noise_mask[part]
        mask = None if mask is None or mask.mean() == 1.0 else mask
        parts.append(Latent(latent.samples[part], mask, _indices(latent)[part]))
    return parts


def _mask(latent: Latent) -> Tensor:
    """A noise mask for every picture, all ones where there is none."""
    batch, *_, height, width = latent.samples.shape
    if latent.noise_mask is None:
        return torch.ones(batch, 1, height * NODE_PX, width * NODE_PX)
    mask: Tensor = latent.noise_mask
    return repeat_to_batch(mask, batch)


def _indices(latent: Latent, first: int = 0) -> tuple[int, ...]:
    counted = range(first, first + latent.samples.shape[0])
    return tuple(counted) if latent.batch_index is None else latent.batch_index
