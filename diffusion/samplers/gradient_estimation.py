"""Gradient estimation: Euler steps with the slope pushed on by its own change.

Permenter & Yuan 2024, "Interpreting and improving diffusion models from an optimization
perspective", alg. 2.
"""

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.protocol import GuidedSampling, Sampling, SamplingContext


def gradient_estimation(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, ge_gamma: float = 2.0
) -> Sampling:
    """`ge_gamma` 1 is Euler's method."""
    old = None
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        slope = (x - denoised) / sigma
        change = 0.0 if old is None else (ge_gamma - 1) * (slope - old)
        x = x + (slope + change) * (sigma_next - sigma)
        old = slope
    return x


def gradient_estimation_cfg_pp(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, ge_gamma: float = 2.0
) -> GuidedSampling:
    """In the manner of CFG++ (Chung et al. 2024): slopes come without guidance."""
    old = None
    for sigma, sigma_next in pairwise(sigmas):
        denoised, uncond = yield x, sigma
        if sigma_next == 0:
            return denoised
        slope = (x - uncond) / sigma
        change = 0.0 if old is None else (ge_gamma - 1) * (slope - old)
        x = denoised + slope * sigma_next + change * (sigma_next - sigma)
        old = slope
    return x
