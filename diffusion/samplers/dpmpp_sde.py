"""DPM-Solver++ for the diffusion SDE, with noise from one Brownian path (Lu et al. 2022, sec. 4).

`eta` scales the SDE's noise (0 is the ODE), `s_noise` what is drawn of it. With `gpu_noise` the
path is drawn where other step noise is drawn, else on the CPU.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor

from diffusion.samplers.ancestral import noise_levels
from diffusion.samplers.exponential import ExponentialStep
from diffusion.samplers.protocol import Midway, Sampling, SamplingContext
from diffusion.schedules.model_sampling import ModelSampling


def dpmpp_sde(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    gpu_noise: bool = False,
) -> Sampling:
    """DPM-Solver++(S): a look at the fraction `r` of the step in log-SNR, then the step."""
    noise = context.noise.brownian(sigmas, on_device=gpu_noise)
    model, noisy = context.model_sampling, eta > 0 and s_noise > 0
    for sigma, sigma_next in pairwise(model.with_finite_snr(sigmas)):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        start, end = model.half_log_snr(sigma), model.half_log_snr(sigma_next)
        middle = model.from_half_log_snr(start + r * (end - start))
        ahead, up = _leg(model, sigma, middle, eta, (x, denoised))
        if noisy:
            ahead = ahead + noise(sigma, middle) * s_noise * up
        denoised_2 = yield Midway(ahead, middle)
        mixed = (1 - 1 / (2 * r)) * denoised + 1 / (2 * r) * denoised_2
        x, up = _leg(model, sigma, sigma_next, eta, (x, mixed))
        if noisy:
            x = x + noise(sigma, sigma_next) * s_noise * up
    return x


def _leg(
    model: ModelSampling,
    sigma: Tensor,
    sigma_next: Tensor,
    eta: float,
    state: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor | float]:
    """Where `state` (x, denoised) goes without noise, and the std of the noise then due."""
    x, denoised = state
    start = sigma / model.alpha(sigma)  # noise per signal
    down, up = noise_levels(start, sigma_next / model.alpha(sigma_next), eta)
    alpha = model.alpha(sigma_next)
    ratio = down / start
    return (alpha / model.alpha(sigma)) * ratio * x + alpha * (1 - ratio) * denoised, alpha * up


def dpmpp_2m_sde(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: Literal["midpoint", "heun"] = "midpoint",
    gpu_noise: bool = False,
) -> Sampling:
    """DPM-Solver++(2M) SDE: the prediction's slope from the last two."""
    noise = context.noise.brownian(sigmas, on_device=gpu_noise)
    model = context.model_sampling
    old, h_old = None, None
    for sigma, sigma_next in pairwise(model.with_finite_snr(sigmas)):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        step = ExponentialStep.between(model, sigma, sigma_next, eta)
        x = step.first_order(x, denoised)
        if old is not None and h_old is not None:
            weight = step.phi_2 if solver_type == "heun" else 0.5 * step.phi_1
            x = x + step.alpha_next * weight * (step.h / h_old) * (denoised - old)
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, sigma_next) * step.noise_std * s_noise
        old, h_old = denoised, step.h
    return x


def dpmpp_3m_sde(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    gpu_noise: bool = False,
) -> Sampling:
    """DPM-Solver++(3M) SDE: slope and curvature of the prediction from the last three."""
    noise = context.noise.brownian(sigmas, on_device=gpu_noise)
    model = context.model_sampling
    past: list[tuple[Tensor, Tensor]] = []  # (denoised, h) of earlier steps, newest first
    for sigma, sigma_next in pairwise(model.with_finite_snr(sigmas)):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        step = ExponentialStep.between(model, sigma, sigma_next, eta)
        x = step.first_order(x, denoised) + step.alpha_next * _bend(step, denoised, past)
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, sigma_next) * step.noise_std * s_noise
        past = [(denoised, step.h), *past[:1]]
    return x


def _bend(
    step: ExponentialStep, denoised: Tensor, past: list[tuple[Tensor, Tensor]]
) -> Tensor | float:
    """What the change of the prediction, as its history shows it, adds to a step."""
    if not past:
        return 0.0
    r0 = past[0][1] / step.h
    slope = (denoised - past[0][0]) / r0
    if len(past) == 1:
        return step.phi_2 * slope
    r1 = past[1][1] / step.h
    older = (past[0][0] - past[1][0]) / r1
    slope, curve = slope + (slope - older) * r0 / (r0 + r1), (slope - older) / (r0 + r1)
    return step.phi_2 * slope - step.phi_3 * curve
