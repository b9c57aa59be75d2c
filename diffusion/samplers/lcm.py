"""Consistency and DDPM sampling: each prediction is renoised from scratch, or by the posterior."""

from itertools import pairwise

import torch
from torch import Tensor

from diffusion.samplers.protocol import Sampling, SamplingContext


def lcm(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """Multistep consistency sampling (Luo et al. 2023, LCM, alg. 3)."""
    noise, model = context.noise.ancestral(), context.model_sampling
    for sigma, sigma_next in pairwise(sigmas):
        x = yield x, sigma
        if sigma_next > 0:
            x = model.noise_scaling(sigma_next, noise(), x)
    return x


def ddpm(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """DDPM's ancestral sampler (Ho et al. 2020, alg. 2), in x without its scale."""
    noise = context.noise.ancestral()
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        signal, signal_next = 1 / (sigma**2 + 1), 1 / (sigma_next**2 + 1)  # alpha bar
        alpha = signal / signal_next
        eps = (x - denoised) / sigma
        mean = x / torch.sqrt(1.0 + sigma**2) - (1 - alpha) * eps / (1 - signal).sqrt()
        x = (1 / alpha).sqrt() * mean
        if sigma_next > 0:
            variance = (1 - alpha) * (1 - signal_next) / (1 - signal)
            x = (x + variance.sqrt() * noise()) * torch.sqrt(1.0 + sigma_next**2)
    return x
