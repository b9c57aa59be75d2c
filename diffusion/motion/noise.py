"""Initial noise for frames, by a model's noise settings.

(ComfyUI-AnimateDiff-Evolved sample_settings.py)
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.fitting import repeat_to
from diffusion.latent.noise import SEEDS
from graph.errors import ServiceError
from graph.motion import MOST_OFFSET, Context, Drawn, NoiseLayer, SampleSettings

EXISTING = "use existing"


@dataclass(eq=False)
class BatchOffsetError(ServiceError):
    """More noise to be drawn and thrown away than is allowed."""

    status = 422
    code = "batch_offset"
    template = "A batch offset of noise must be at most {limit}, got {received}."
    limit: int
    received: int


def settled_noise(
    settings: SampleSettings,
    own: Tensor,
    seed: int,
    context: Context | None,
    device: torch.device,
) -> Tensor:
    """The noise [F, C, h, w] of a job; `own` is what it would have without settings.

    Raises:
        BatchOffsetError: one is too large.
    """
    drawn = settings.drawn
    plain = Drawn()
    seed = seed if drawn.seed_override is None else drawn.seed_override
    noise = own
    if replace(drawn, seed_override=None) != plain:
        noise = _drawn(replace(drawn, seed_override=None), own.shape, seed, context, device)
    for layer in settings.layers:
        noise = _added(layer, noise, seed + drawn.seed_offset, drawn.seed_gen, (context, device))
    return noise


def _added(
    layer: NoiseLayer,
    old: Tensor,
    seed: int,
    seed_gen: str,
    where: tuple[Context | None, torch.device],
) -> Tensor:
    own = layer.drawn
    if own.seed_gen == EXISTING:
        own = replace(own, seed_gen=seed_gen)
    base = seed if own.seed_override is None else own.seed_override
    new = _drawn(own, old.shape, base, *where)
    both = APPLICATIONS[layer.application](layer, old, new)
    if layer.mask is None:
        return both
    mask = torch.as_tensor(layer.mask).float()
    mask = mask.reshape(-1, 1, *mask.shape[-2:])
    mask = functional.interpolate(mask, size=tuple(old.shape[-2:]), mode="bilinear")
    mask = repeat_to(mask, len(old))
    return (1 - mask) * old + mask * both


def _weighted(layer: NoiseLayer, old: Tensor, new: Tensor) -> Tensor:
    return old * (1.0 - layer.weight * layer.balance) + new * layer.weight


def _normalized(layer: NoiseLayer, old: Tensor, new: Tensor) -> Tensor:
    weight = layer.weight
    length = math.hypot(1.0 - weight, weight)
    return (1.0 - weight) / length * old + weight / length * new


APPLICATIONS: Mapping[str, Callable[[NoiseLayer, Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "replace": lambda _layer, _old, new: new,
        "add": lambda layer, old, new: old + new * layer.weight,
        "add_weighted": _weighted,
        "normalized_sum": _normalized,
    }
)


def _drawn(
    drawn: Drawn, shape: torch.Size, seed: int, context: Context | None, device: torch.device
) -> Tensor:
    offset, seed = drawn.batch_offset, seed + drawn.seed_offset
    if offset > MOST_OFFSET:
        raise BatchOffsetError(MOST_OFFSET, offset)
    if drawn.noise_type == "empty":
        return torch.zeros(shape)
    where = device if drawn.seed_gen.endswith("[gpu]") else torch.device("cpu")
    count, constant = shape[0], drawn.noise_type == "constant"
    wanted = 1 if constant else count
    if drawn.seed_gen.startswith("comfy"):
        noise = _stream((wanted + offset, *shape[1:]), seed, where)[offset:]
    else:  # a seed for each
        seeds = range(seed + offset, seed + offset + wanted)
        noise = torch.cat([_stream((1, *shape[1:]), own, where) for own in seeds])
    if constant:
        return noise.repeat(count, *[1] * (len(shape) - 1))
    if context is None:
        return noise
    windows = context.windows if context.view is None else context.view
    if drawn.noise_type == "repeated_context":
        return repeat_to(noise[: windows.length], count)
    if drawn.noise_type == "FreeNoise":
        return _free(noise, windows.length, windows.overlap, seed)
    return noise


def _stream(shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    generator = torch.Generator(device).manual_seed(seed % SEEDS)
    return torch.randn(shape, generator=generator, device=device).cpu()


def _free(noise: Tensor, length: int, overlap: int, seed: int) -> Tensor:
    """Behind the first window, the noise of earlier frames in another order (Qiu et al. 2023)."""
    noise, count, hop = noise.clone(), len(noise), max(1, length - overlap)
    generator = torch.Generator().manual_seed(seed % SEEDS)
    for start in range(0, count - length, hop):
        place = start + length
        moved = min(hop, count - place)
        order = torch.arange(start, start + moved)[torch.randperm(moved, generator=generator)]
        noise[place : place + moved] = noise[order]
        if place - 1 + hop >= count:
            break
    return noise
