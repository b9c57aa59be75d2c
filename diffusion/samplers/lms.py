"""Linear multistep: a polynomial through the past slopes, integrated over the step."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffusion.samplers.protocol import Sampling, SamplingContext


def lms(x: Tensor, sigmas: Tensor, context: SamplingContext, *, order: int = 4) -> Sampling:
    """Adams-Bashforth with the schedule's own, uneven steps (Katherine Crowson, k-diffusion)."""
    levels = sigmas.double().numpy()
    slopes: list[Tensor] = []  # newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma
        slopes = [(x - denoised) / sigma, *slopes[: order - 1]]
        if sigma_next == 0:
            return denoised
        nodes = levels[max(0, i + 1 - order) : i + 1][::-1]
        weights = lagrange_integrals(nodes, levels[i], levels[i + 1])
        x = x + sum(w * slope for w, slope in zip(weights, slopes, strict=True))
    return x


def lagrange_integrals(nodes: NDArray[np.float64], start: float, end: float) -> list[float]:
    """The integral from start to end of each Lagrange polynomial over `nodes`.

    By Gauss-Legendre quadrature with enough points to be exact.
    """
    points, weights = np.polynomial.legendre.leggauss(len(nodes) // 2 + 1)
    half = (end - start) / 2
    at = half * points + (start + end) / 2
    return [
        float(half * np.sum(weights * np.prod([(at - m) / (n - m) for m in others], axis=0)))
        for k, n in enumerate(nodes)
        for others in [np.delete(nodes, k)]
    ]
