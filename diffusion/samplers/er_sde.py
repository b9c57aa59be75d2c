"""ER-SDE: extended reverse-time SDE solvers (Cui et al. 2023, arXiv 2309.06169)."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from diffusion.samplers.protocol import Sampling, SamplingContext

NoiseScale: TypeAlias = Callable[[Tensor], Tensor]
POINTS = 200.0  # of the integrals over 1 / scale


def er_sde(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    solver_type: Literal["ER-SDE", "Reverse-time SDE", "ODE"] = "ER-SDE",
    max_stage: int = 3,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Sampling:
    """VP ER-SDE-Solver-3. `eta` is the noise of "Reverse-time SDE" alone; "ODE" has none.

    `past` holds (prediction, its first divided difference, noise-to-signal) of steps before.
    """
    noise, model = context.noise.ancestral(), context.model_sampling
    scale, s_noise = _noise_scale(solver_type, eta, s_noise)
    past: list[tuple[Tensor, Tensor | None, Tensor]] = []
    for sigma, sigma_next in pairwise(model.with_finite_snr(sigmas)):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        alpha = model.alpha(sigma_next)
        start, end = sigma / model.alpha(sigma), sigma_next / alpha
        r = scale(end) / scale(start)
        x = alpha / model.alpha(sigma) * r * x + alpha * (1 - r) * denoised
        slope = None
        if past and max_stage > 1:
            slope = (denoised - past[0][0]) / (start - past[0][2])
            first, second = _integrals(start, end, scale)
            x = x + alpha * (end - start + first * scale(end)) * slope
            if past[0][1] is not None and max_stage > 2:
                curve = (slope - past[0][1]) / ((start - past[1][2]) / 2)
                x = x + alpha * ((end - start) ** 2 / 2 + second * scale(end)) * curve
        if s_noise > 0:
            std = (end**2 - start**2 * r**2).sqrt().nan_to_num(nan=0.0)
            x = x + alpha * noise() * s_noise * std
        past = [(denoised, slope, start), *past[:1]]
    return x


def _noise_scale(solver_type: str, eta: float, s_noise: float) -> tuple[NoiseScale, float]:
    """phi of the paper (sec. 4), and how much noise is added at all."""
    if solver_type == "ER-SDE":
        return lambda level: level * ((level**0.3).exp() + 10.0), s_noise
    if solver_type == "ODE":
        eta = 0.0
    return partial(torch.pow, exponent=eta + 1), s_noise if eta > 0 else 0.0


def _integrals(start: Tensor, end: Tensor, scale: NoiseScale) -> tuple[Tensor, Tensor]:
    """Of 1 / phi, and of (level - start) / phi, from `end` up to `start`."""
    width = (start - end) / POINTS
    levels = end + torch.arange(0, POINTS) * width
    first = torch.sum(1 / scale(levels)) * width
    second = torch.sum((levels - start) / scale(levels)) * width
    return first, second
