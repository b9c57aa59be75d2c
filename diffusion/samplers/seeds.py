"""SEEDS: exponential solvers of the diffusion SDE with several looks a step (Gonzalez et al. 2023).

Looks are taken at fractions of the step in log-SNR. Noise within a step belongs to one path: what
came in before a look is carried on, shrunk, and new noise fills the rest.
"""

from itertools import pairwise

import torch
from torch import Tensor

from diffusion.latent.noise import StepNoise
from diffusion.samplers.exponential import ExponentialStep
from diffusion.samplers.protocol import Midway, Sampling, SamplingContext


class _PathNoise:
    """Unit noise along one step, for looks at rising fractions of it."""

    def __init__(self, draw: StepNoise, step: ExponentialStep) -> None:
        self._draw, self._step = draw, step
        self._at: float = 0
        self._value: Tensor | None = None

    def until(self, fraction: float) -> Tensor:
        """The noise at `fraction`, to be scaled by sigma there."""
        h = (fraction - self._at) * self._step.h
        fresh = self._step.correlation_gap(h) * self._draw()
        if self._value is not None:
            fresh = self._value * (-h * self._step.eta).exp() + fresh
        self._at, self._value = fraction, fresh
        return fresh


def seeds_2(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
) -> Sampling:
    """SEEDS-2 with data prediction."""
    draw, model = context.noise.ancestral(), context.model_sampling
    for sigma, sigma_next in pairwise(model.with_finite_snr(sigmas)):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        step = ExponentialStep.between(model, sigma, sigma_next, eta)
        path = _PathNoise(draw, step)
        look = step.part(model, r)
        ahead = look.first_order(x, denoised)
        if eta > 0 and s_noise > 0:
            ahead = ahead + path.until(r) * look.sigma_next * s_noise
        denoised_2 = yield Midway(ahead, look.sigma_next)
        x = step.first_order(x, torch.lerp(denoised, denoised_2, 1 / (2 * r)))
        if eta > 0 and s_noise > 0:
            x = x + path.until(1) * sigma_next * s_noise
    return x


def seeds_3(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r_1: float = 1 / 3,
    r_2: float = 2 / 3,
) -> Sampling:
    """SEEDS-3 with data prediction."""
    draw, model = context.noise.ancestral(), context.model_sampling
    for sigma, sigma_next in pairwise(model.with_finite_snr(sigmas)):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        step = ExponentialStep.between(model, sigma, sigma_next, eta)
        path, noisy = _PathNoise(draw, step), eta > 0 and s_noise > 0
        first, second = step.part(model, r_1), step.part(model, r_2)
        ahead = first.first_order(x, denoised)
        if noisy:
            ahead = ahead + path.until(r_1) * first.sigma_next * s_noise
        change = (yield Midway(ahead, first.sigma_next)) - denoised
        ahead = second.first_order(x, denoised) + second.bend(change) * (r_2 / r_1)
        if noisy:
            ahead = ahead + path.until(r_2) * second.sigma_next * s_noise
        change = (yield Midway(ahead, second.sigma_next)) - denoised
        x = step.first_order(x, denoised) + step.bend(change) / r_2
        if noisy:
            x = x + path.until(1) * sigma_next * s_noise
    return x
