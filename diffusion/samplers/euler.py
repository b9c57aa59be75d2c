"""Euler's method, with and without noise added at each step."""

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.protocol import Sampling, SamplingContext


def euler(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """Euler steps of the probability-flow ODE (Karras et al. 2022, alg. 2, no churn)."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        x = x + (x - denoised) / sigma * (sigma_next - sigma)
    return x
