"""Improved pseudo numerical methods: Adams-Bashforth on the ODE's slope (Zhang & Chen 2022).

Coefficients as in github.com/zju-pi/diff-sampler (Apache-2.0), diff-solvers-main/solvers.py.
"""

from itertools import pairwise

from torch import Tensor

from diffusion.samplers.protocol import Sampling, SamplingContext

ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def ipndm(x: Tensor, sigmas: Tensor, context: SamplingContext, *, max_order: int = 4) -> Sampling:
    """As if all steps were of one size (Zhang & Chen 2022, DEIS, app. H.2)."""
    slopes: list[Tensor] = []  # newest first
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        slopes = [(x - denoised) / sigma, *slopes[: max_order - 1]]
        weights = ADAMS_BASHFORTH[len(slopes) - 1]
        slope = sum(w * s for w, s in zip(weights, slopes, strict=True))
        x = x + (sigma_next - sigma) * slope
    return x


def ipndm_v(x: Tensor, sigmas: Tensor, context: SamplingContext, *, max_order: int = 4) -> Sampling:
    """With weights for steps of varying size."""
    slopes: list[Tensor] = []  # newest first
    sizes: list[Tensor] = []
    for sigma, sigma_next in pairwise(sigmas):
        denoised = yield x, sigma
        if sigma_next == 0:
            return denoised
        slopes = [(x - denoised) / sigma, *slopes[: max_order - 1]]
        sizes = [sigma_next - sigma, *sizes[: max_order - 1]]
        weights = _variable_weights(sizes)
        slope = sum(w * s for w, s in zip(weights, slopes, strict=True))
        x = x + (sigma_next - sigma) * slope
    return x


def _variable_weights(sizes: list[Tensor]) -> list[Tensor | float]:
    """Weights of the newest `len(sizes)` slopes; each order adds a term to the one below it."""
    weights: list[Tensor | float] = [1.0, 0.0, 0.0, 0.0]
    if len(sizes) > 1:
        second = sizes[0] / sizes[1] / 2
        weights = [1 + second, -second, 0.0, 0.0]
    if len(sizes) > 2:
        third, b = _third(sizes), sizes[1] / sizes[2]
        weights = [
            weights[0] + third,
            weights[1] - (1 + b) * third,
            b * third,
            0.0,
        ]
    if len(sizes) > 3:
        fourth, b = _fourth(sizes), sizes[1] / sizes[2]
        c = sizes[1] * (sizes[1] + sizes[2]) / (sizes[2] * (sizes[2] + sizes[3]))
        weights = [
            weights[0] + fourth,
            weights[1] - (1 + b + c) * fourth,
            weights[2] + (b + c * (1 + sizes[2] / sizes[3])) * fourth,
            -fourth * c * sizes[1] / sizes[2],
        ]
    return weights[: len(sizes)]


def _third(sizes: list[Tensor]) -> Tensor:
    h0, h1, h2 = sizes[:3]
    spread = h0 * (h0 + h1) / (h1 * (h1 + h2))
    return (1 - h0 / (3 * (h0 + h1)) * spread) / 2


def _fourth(sizes: list[Tensor]) -> Tensor:
    h0, h1, h2, h3 = sizes
    near = (1 - h0 / (3 * (h0 + h1))) / 2
    far = (1 - h0 / (2 * (h0 + h1))) * h0 / (6 * (h0 + h1 + h2))
    spread = h0 * (h0 + h1) * (h0 + h1 + h2) / (h1 * (h1 + h2) * (h1 + h2 + h3))
    return (near + far) * spread
