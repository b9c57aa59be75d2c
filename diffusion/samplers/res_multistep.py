"""RES: the refined exponential solver, multistep (Zhang et al. 2023, arXiv 2308.02157)."""

import torch
from torch import Tensor

from diffusion.samplers.ancestral import noise_levels
from diffusion.samplers.protocol import (
    GuidedSampling,
    Sampling,
    SamplingContext,
    without_guidance,
)


def res_multistep(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, s_noise: float = 1.0
) -> Sampling:
    """Second order from the last two predictions; no noise."""
    return (yield from res_multistep_ancestral(x, sigmas, context, eta=0.0, s_noise=s_noise))


def res_multistep_ancestral(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, eta: float = 1.0, s_noise: float = 1.0
) -> Sampling:
    """The same to below the next level, then noise."""
    guided = res_multistep_ancestral_cfg_pp(x, sigmas, context, eta=eta, s_noise=s_noise)
    return (yield from without_guidance(guided))


def res_multistep_cfg_pp(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, s_noise: float = 1.0
) -> GuidedSampling:
    """In the manner of CFG++ (Chung et al. 2024); no noise."""
    return (yield from res_multistep_ancestral_cfg_pp(x, sigmas, context, eta=0.0, s_noise=s_noise))


def res_multistep_ancestral_cfg_pp(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, eta: float = 1.0, s_noise: float = 1.0
) -> GuidedSampling:
    """In the manner of CFG++: x is moved by the guidance, history and slope come without it."""
    noise = context.noise.ancestral()
    old, old_down = None, None
    for i, sigma_next in enumerate(sigmas[1:]):
        sigma = sigmas[i]
        denoised, uncond = yield x, sigma
        down, up = noise_levels(sigma, sigma_next, eta)
        if old is None or old_down is None or down == 0:
            x = denoised + (x - uncond) / sigma * down
        else:
            h = sigma.log() - down.log()
            c2 = (old_down.log() - sigmas[i - 1].log()) / h
            b1, b2 = _weights(h, c2)
            x = (down / sigma) * (x + (denoised - uncond)) + h * (b1 * uncond + b2 * old)
        if sigma_next > 0 and eta > 0:
            x = x + noise() * s_noise * up
        old, old_down = uncond, down
    return x


def _weights(h: Tensor, c2: Tensor) -> tuple[Tensor, Tensor]:
    """b1 and b2 of the second-order scheme with the earlier node at `c2` steps (table 1)."""
    phi_1 = torch.expm1(-h) / -h
    phi_2 = (phi_1 - 1.0) / -h
    return (phi_1 - phi_2 / c2).nan_to_num(0.0), (phi_2 / c2).nan_to_num(0.0)
