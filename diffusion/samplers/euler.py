"""Euler's method, with and without noise added at each step."""

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.ancestral import ancestral_step, noise_levels, toward
from diffusion.samplers.protocol import GuidedSampling, Sampling, SamplingContext


def euler(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """Euler steps of the probability-flow ODE (Karras et al. 2022, alg. 2, no churn)."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        x = x + (x - denoised) / sigma * (sigma_next - sigma)
    return x


def euler_ancestral(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, eta: float = 1.0, s_noise: float = 1.0
) -> Sampling:
    """Euler steps to below the next level, then noise (k-diffusion; on a flow its RF form)."""
    noise = context.noise.ancestral()
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        step = ancestral_step(context, sigma, sigma_next, eta)
        x = toward(denoised, x, step.sigma_down / sigma)
        if step.sigma_down > 0 and eta > 0:
            x = step.scale * x + noise() * s_noise * step.sigma_up
    return x


def euler_cfg_pp(x: Tensor, sigmas: Tensor, context: SamplingContext) -> GuidedSampling:
    """CFG++ (Chung et al. 2024): the guided picture, renoised with the unguided noise."""
    return (yield from euler_ancestral_cfg_pp(x, sigmas, context, eta=0.0))


def euler_ancestral_cfg_pp(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, eta: float = 1.0, s_noise: float = 1.0
) -> GuidedSampling:
    """CFG++ with DDIM's stochastic steps (Chung et al. 2024; Song et al. 2020, eq. 12)."""
    noise, alpha = context.noise.ancestral(), context.model_sampling.alpha
    for sigma, sigma_next in pairwise(sigmas):
        denoised, uncond = yield x, sigma
        if sigma_next == 0:
            return denoised
        down, up = noise_levels(sigma / alpha(sigma), sigma_next / alpha(sigma_next), eta)
        slope = (x - alpha(sigma) * uncond) / sigma
        x = alpha(sigma_next) * (denoised + down * slope)
        if eta > 0 and s_noise > 0:
            x = x + alpha(sigma_next) * noise() * s_noise * up
    return x


def euler_pp(x: Tensor, sigmas: Tensor, context: SamplingContext) -> GuidedSampling:
    """The "alternative" of ComfyUI's SamplerEulerCFGpp: the slope leans towards `uncond`."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised, uncond = yield x, sigma
        slope = (x - 2 * denoised + uncond) / sigma
        x = x + slope * (sigma_next - sigma)
    return x
