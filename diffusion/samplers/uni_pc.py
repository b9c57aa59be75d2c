"""UniPC: a multistep predictor, and a corrector that reuses the next prediction (Zhao et al. 2023).

x moves in variance-preserving scale, where alpha**2 + std**2 = 1. All coefficients are float32 in
the paper's own forms: at the smallest sigmas ComfyUI's pictures owe something to that rounding.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from diffusion.samplers.protocol import Sampling, SamplingContext

Variant: TypeAlias = Literal["bh1", "bh2"]
LAST_SIGMA = 0.001  # stands for 0, where log-SNR would be infinite


def uni_pc(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, variant: Variant = "bh1"
) -> Sampling:
    """UniPC of order up to 3 with B(h) = h ("bh1") or e^h - 1 ("bh2"), algs. 1 and 2.

    As in ComfyUI a schedule of one step is asked about and then not taken.
    """
    steps, highest = len(sigmas) - 1, min(3, len(sigmas) - 2)
    if steps < 1:
        return x
    levels = torch.where(sigmas == 0, LAST_SIGMA, sigmas)
    past = [(yield x, levels[0])]  # predictions, newest first
    x = x * _alpha(levels[0])
    for i in range(1, steps + 1 if highest else 1):
        order = i if i < highest else min(highest, steps + 1 - i)
        step = _Step(levels[i - order : i + 1].flip(0), past[:order], variant)
        base = step.base(x)
        x = base - step.predicted_bend()
        if i < steps:
            past = [(yield x / _alpha(levels[i]), levels[i]), *past[:2]]
            x = base - step.corrected_bend(past[0])
    x = x / _alpha(levels[-1])
    if (
        sigmas[-1] == 0
    ):  # the driver will undo a flow's scale at 0, ComfyUI does at what stands for it
        x = context.model_sampling.inverse_noise_scaling(levels[-1], x)
    return x


class _Step:
    """One step of `len(past)`-th order.

    `levels` are the sigmas arrived at, left, and before that; `past` the predictions at all but
    the first of them.
    """

    def __init__(self, levels: Tensor, past: Sequence[Tensor], variant: Variant) -> None:
        lambdas = _half_log_snr(levels)
        h = lambdas[0] - lambdas[1]
        self._newest = past[0]
        self._phi = torch.expm1(-h)
        self._b = -h if variant == "bh1" else self._phi
        self._shrink = _std(levels[0]) / _std(levels[1])
        self._alpha = _alpha(levels[0])
        self._rks = torch.cat([(lambdas[2:] - lambdas[1]) / h, torch.ones(1)])
        self._slopes = [(m - past[0]) / rk for m, rk in zip(past[1:], self._rks, strict=False)]
        self._targets = self._right_hand_side(-h)

    def base(self, x: Tensor) -> Tensor:
        """The step of first order."""
        return self._shrink * x - self._alpha * self._phi * self._newest

    def predicted_bend(self) -> Tensor | float:
        """What the history adds to `base`, negated."""
        count = len(self._slopes)
        if count == 0:
            return 0.0
        rhos = torch.tensor([0.5]) if count == 1 else self._solve(count)
        return self._weighted(rhos, self._slopes)

    def corrected_bend(self, ahead: Tensor) -> Tensor:
        """The same with `ahead`, the prediction at the step's end, in the history."""
        slopes = [*self._slopes, ahead - self._newest]
        rhos = torch.tensor([0.5]) if len(slopes) == 1 else self._solve(len(slopes))
        return self._weighted(rhos, slopes)

    def _weighted(self, rhos: Tensor, slopes: Sequence[Tensor]) -> Tensor:
        total = torch.zeros_like(self._newest)
        for rho, slope in zip(rhos, slopes, strict=True):
            total = total + rho * slope
        return self._alpha * self._b * total

    def _solve(self, count: int) -> Tensor:
        """Weights that make the scheme exact for polynomials of degree `count`."""
        powers = torch.stack([self._rks[:count] ** k for k in range(count)])
        weights: Tensor = torch.linalg.solve(powers, self._targets[:count])
        return weights

    def _right_hand_side(self, hh: Tensor) -> Tensor:
        """k! h phi_{k+1}(h) / B(h) for k = 1, 2, ..."""
        targets, factorial, phi_k = [], 1, self._phi / hh - 1
        for k in range(1, len(self._rks) + 1):
            targets.append(phi_k * factorial / self._b)
            factorial *= k + 1
            phi_k = phi_k / hh - 1 / factorial
        return torch.stack(targets)


def _log_alpha(sigma: Tensor) -> Tensor:
    return 0.5 * torch.log(1 / (sigma * sigma + 1))


def _alpha(sigma: Tensor) -> Tensor:
    return torch.exp(_log_alpha(sigma))


def _std(sigma: Tensor) -> Tensor:
    return torch.sqrt(1.0 - torch.exp(2.0 * _log_alpha(sigma)))


def _half_log_snr(sigma: Tensor) -> Tensor:
    return _log_alpha(sigma) - 0.5 * torch.log(1.0 - torch.exp(2.0 * _log_alpha(sigma)))
