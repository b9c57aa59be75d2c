"""Heun's method: a step is taken, looked at from its end, and taken again with both slopes."""

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.protocol import Midway, Sampling, SamplingContext


def heun(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """Euler predictor, trapezoid corrector (Karras et al. 2022, alg. 2, no churn)."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        slope = (x - denoised) / sigma
        if sigma_next > 0:
            ahead = x + slope * (sigma_next - sigma)
            denoised = yield Midway(ahead, sigma_next)
            slope = (slope + (ahead - denoised) / sigma_next) / 2
        x = x + slope * (sigma_next - sigma)
    return x


def heunpp2(x: Tensor, sigmas: Tensor, context: SamplingContext) -> Sampling:
    """Heun++ (github.com/Carzit/sd-webui-samplers-scheduler, MIT): up to three slopes a step.

    Later slopes weigh by their sigma over the first sigma of the schedule.
    """
    last = len(sigmas) - 1
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma
        slopes, ahead = [(x - denoised) / sigma], x
        looks = sigmas[i + 1 : min(i + 3, last)]  # levels to look from, the last one is not
        for here, there in zip(sigmas[i:], looks, strict=False):
            ahead = ahead + slopes[-1] * (there - here)
            denoised = yield Midway(ahead, there)
            slopes.append((ahead - denoised) / there)
        weights = [there / (len(slopes) * sigmas[0]) for there in looks]
        slope = slopes[0] * (1 - sum(weights))
        slope = slope + sum(w * s for w, s in zip(weights, slopes[1:], strict=True))
        x = x + slope * (sigma_next - sigma)
    return x
