"""DPM-Solver++ as an ODE solver, and its single-step form with ancestral noise (Lu et al. 2022).

t = -log(sigma) and h is a step in it; `old` is the prediction before.
"""

from itertools import pairwise

import torch
from torch import Tensor

from diffusion.samplers.ancestral import (
    AncestralStep,
    ancestral_step,
    noise_levels,
    toward,
)
from diffusion.samplers.protocol import GuidedSampling, Midway, Sampling, SamplingContext


def dpmpp_2m(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """DPM-Solver++(2M): the prediction is extrapolated from the last two (alg. 2)."""
    old, t = None, -sigmas.log()
    for i, sigma_next in enumerate(sigmas[1:]):
        denoised = yield x, sigmas[i]
        h, ahead = t[i + 1] - t[i], denoised
        if old is not None and sigma_next > 0:
            r = (t[i] - t[i - 1]) / h
            ahead = (1 + 1 / (2 * r)) * denoised - (1 / (2 * r)) * old
        x = (sigma_next / sigmas[i]) * x - torch.expm1(-h) * ahead
        old = denoised
    return x


def dpmpp_2m_cfg_pp(x: Tensor, sigmas: Tensor, context: SamplingContext) -> GuidedSampling:
    """2M in the manner of CFG++ (Chung et al. 2024): history and noise come without guidance."""
    old, t = None, -sigmas.log()
    for i, sigma_next in enumerate(sigmas[1:]):
        denoised, uncond = yield x, sigmas[i]
        h = t[i + 1] - t[i]
        x = denoised + torch.exp(-h) * (x - uncond)
        if old is not None and sigma_next > 0:
            r = (t[i] - t[i - 1]) / h
            x = x - torch.expm1(-h) * (1 / (2 * r)) * (denoised - old)
        old = uncond
    return x


def dpmpp_2s_ancestral(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, eta: float = 1.0, s_noise: float = 1.0
) -> Sampling:
    """DPM-Solver++(2S) to below the next level, then noise (alg. 1; on a flow its RF form)."""
    noise = context.noise.ancestral()
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        step = ancestral_step(context, sigma, sigma_next, eta)
        if step.sigma_down > 0:
            middle = _middle(context, sigma, step.sigma_down)
            ahead = toward(denoised, x, middle / sigma)
            denoised = yield Midway(ahead, middle)
        x = toward(denoised, x, step.sigma_down / sigma)
        if sigma_next > 0 and eta > 0:
            x = step.scale * x + noise() * s_noise * step.sigma_up
    return x


def dpmpp_2s_ancestral_cfg_pp(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, eta: float = 1.0, s_noise: float = 1.0
) -> GuidedSampling:
    """2S ancestral in the manner of CFG++: x is moved by the guidance on each leg."""
    noise = context.noise.ancestral()
    for sigma, sigma_next in pairwise(sigmas):
        denoised, uncond = yield x, sigma
        step = AncestralStep(*noise_levels(sigma, sigma_next, eta), 1.0)
        ahead = denoised
        if step.sigma_down > 0:
            middle = (sigma.log().lerp(step.sigma_down.log(), 0.5)).exp()
            ahead = toward(denoised, x + (denoised - uncond), middle / sigma)
            ahead, uncond = yield Midway(ahead, middle)
        x = toward(ahead, x + (denoised - uncond), step.sigma_down / sigma)
        if sigma_next > 0 and eta > 0:
            x = x + noise() * s_noise * step.sigma_up
    return x


def _middle(context: SamplingContext, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """Half-way in log-SNR. From a flow's pure noise, where that has no middle, just below it."""
    model = context.model_sampling
    if model.is_flow and sigma == 1:
        return torch.full_like(sigma, 0.9999)
    return model.from_half_log_snr((model.half_log_snr(sigma) + model.half_log_snr(sigma_next)) / 2)
