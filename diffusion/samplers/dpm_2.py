"""DPM-Solver-2 as Karras et al. write it: the slope from half-way carries the whole step."""

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.ancestral import ancestral_step
from diffusion.samplers.protocol import Midway, Sampling, SamplingContext


def dpm_2(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """Midpoint steps in log sigma (Lu et al. 2022, DPM-Solver-2; Karras et al. 2022, app. C.3)."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        slope = (x - denoised) / sigma
        if sigma_next > 0:
            middle = _middle(sigma, sigma_next)
            ahead = x + slope * (middle - sigma)
            denoised = yield Midway(ahead, middle)
            slope = (ahead - denoised) / middle
        x = x + slope * (sigma_next - sigma)
    return x


def dpm_2_ancestral(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, eta: float = 1.0, s_noise: float = 1.0
) -> Sampling:
    """Midpoint steps to below the next level, then noise."""
    noise = context.noise.ancestral()
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        slope = (x - denoised) / sigma
        step = ancestral_step(context, sigma, sigma_next, eta)
        if step.sigma_down > 0:
            middle = _middle(sigma, step.sigma_down)
            ahead = x + slope * (middle - sigma)
            denoised = yield Midway(ahead, middle)
            slope = (ahead - denoised) / middle
        x = x + slope * (step.sigma_down - sigma)
        if step.sigma_down > 0 and eta > 0:
            x = step.scale * x + noise() * s_noise * step.sigma_up
    return x


def _middle(sigma: Tensor, sigma_next: Tensor) -> Tensor:
    return sigma.log().lerp(sigma_next.log(), 0.5).exp()
