"""DEIS: a polynomial through past noise predictions, integrated against the VP SDE's own weight.

Zhang & Chen 2022, tAB-DEIS; time as in github.com/zju-pi/diff-sampler (Apache-2.0), gits-main/
solver_utils.py.
"""

from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from diffusion.samplers.protocol import Sampling, SamplingContext

EPSILON_S, SIGMA_MIN, SIGMA_MAX = 1e-3, 0.002, 80.0  # what the VP SDE's betas are fitted to
POINTS = 10_000


def deis(x: Tensor, sigmas: Tensor, context: SamplingContext, *, max_order: int = 3) -> Sampling:
    """tAB-DEIS of order up to `max_order` on the slope (x - denoised) / sigma."""
    times = _time(sigmas).tolist()
    slopes: list[Tensor] = []  # newest first
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma
        slopes = [(x - denoised) / sigma, *slopes[: max_order - 1]]
        if len(slopes) == 1 or sigma_next <= 0:
            x = x + (sigma_next - sigma) * slopes[0]
            continue
        nodes = tuple(times[i + 1 - len(slopes) : i + 1][::-1])
        weights = _weights(nodes, times[i + 1])
        x = x + sum(w * slope for w, slope in zip(weights, slopes, strict=True))
    return x


def _vp_betas() -> tuple[Tensor, Tensor]:
    """The ends of a linear beta whose sigma runs SIGMA_MIN..SIGMA_MAX; float32 as in ComfyUI."""
    least = (torch.tensor(SIGMA_MIN) ** 2 + 1).log()
    most = (torch.tensor(SIGMA_MAX) ** 2 + 1).log()
    growth = 2 * (least / EPSILON_S - most) / (EPSILON_S - 1)
    low = most - 0.5 * growth
    return low, growth + low


def _time(sigmas: Tensor) -> Tensor:
    low, high = _vp_betas()
    growth = high - low
    return ((low**2 + 2 * growth * (sigmas**2 + 1).log()).sqrt() - low) / growth


@lru_cache(maxsize=1024)  # jobs with one schedule share them
def _weights(nodes: tuple[float, ...], end: float) -> tuple[float, ...]:
    """The integral from nodes[0] to `end` of each Lagrange polynomial times d sigma / d t.

    A sum over POINTS points, ends included, as ComfyUI's: its small bias is part of the picture.
    """
    low, high = _vp_betas()
    t = torch.linspace(nodes[0], end, POINTS)
    alpha = torch.exp(-0.5 * t**2 * (high - low) - t * low)
    integrand = 0.5 * (t * (high - low) + low) / torch.sqrt(alpha * (1 - alpha))
    width = (end - nodes[0]) / POINTS
    sums = (torch.sum(integrand * _lagrange(nodes, k, t)) for k in range(len(nodes)))
    return tuple(float(total) * width for total in sums)


def _lagrange(nodes: tuple[float, ...], k: int, t: Tensor) -> Tensor:
    value = torch.ones_like(t)
    for j, node in enumerate(nodes):
        if j != k:
            value = value * ((t - node) / (nodes[k] - node))
    return value
