"""DPM-Solver with one to three looks a step, of fixed or adaptive size (Lu et al. 2022).

t = -log(sigma) is the time in which steps are even; eps is the predicted noise.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.samplers.ancestral import noise_levels
from diffusion.samplers.protocol import Midway, Question, Sampling, SamplingContext

Look: TypeAlias = Generator[Question, Tensor, tuple[Tensor, Tensor]]


def dpm_fast(
    x: Tensor, sigmas: Tensor, context: SamplingContext, *, eta: float = 0.0, s_noise: float = 1.0
) -> Sampling:
    """DPM-Solver-fast: a prediction for each step of the schedule, evenly in log sigma (app. D.3).

    Of the schedule only its ends count, and its length. A final 0 is left out.
    """
    if len(sigmas) <= 1:
        return x
    noise = context.noise.ancestral()
    start, end = _ends(sigmas)
    orders = _orders(len(sigmas) - 1)
    times = torch.linspace(float(start), float(end), len(orders) + 1)
    for order, t, t_next in zip(orders, times, times[1:], strict=False):
        target, std = _ancestral_time(t, t_next, end, eta)
        eps = (x - (yield x, _sigma(t))) / _sigma(t)
        if order == 1:
            x = _first(x, eps, target, target - t)
        else:
            _, x = yield from (_second if order == 2 else _third)(x, eps, t, target)
        if eta:
            x = x + std * s_noise * noise()
    return x


def dpm_adaptive(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Sampling:
    """DPM-Solver-12 or -23: the difference of two orders sets the step (app. C).

    The error is measured over the whole batch, so its pictures share their steps.
    """
    if len(sigmas) <= 1:
        return x
    noise = context.noise.ancestral()
    t, end = _ends(sigmas)
    pid = _StepSize(h_init, (pcoeff, icoeff, dcoeff), 1.5 if eta else order, accept_safety)
    before = x
    while t < end - 1e-5:
        t_next = torch.minimum(end, t + pid.h)
        target, std = _ancestral_time(t, t_next, end, eta)
        eps = (x - (yield x, _sigma(t))) / _sigma(t)
        if order == 2:
            low, high = yield from _second(x, eps, t, target)
        else:
            low, high = yield from _third(x, eps, t, target)
        tolerance = torch.clamp(rtol * torch.maximum(low.abs(), before.abs()), min=atol)
        error = torch.linalg.norm((low - high) / tolerance) / x.numel() ** 0.5
        if pid.accepts(float(error)):
            before, x, t = low, high, t_next
            if eta:
                x = x + std * s_noise * noise()
    return x


@dataclass
class _StepSize:
    """A PID controller of the step `h` (k-diffusion, PIDStepSizeController)."""

    h: float
    gains: tuple[float, float, float]  # proportional, integral, derivative
    order: float
    safety: float
    inverse_errors: list[float] = field(default_factory=list)  # newest first

    def accepts(self, error: float) -> bool:
        """Whether the step just tried stands. Sets the size of the next, or of another try."""
        p, i, d = (gain / self.order for gain in self.gains)
        inverse = 1 / (error + 1e-8)
        older = self.inverse_errors or [inverse, inverse]
        factor = inverse ** (p + i + d) * older[0] ** -(p + 2 * d) * older[1] ** d
        factor = 1 + math.atan(factor - 1)
        accepted = factor >= self.safety
        if accepted or not self.inverse_errors:
            self.inverse_errors = [inverse, older[0]]
        self.h *= factor
        return accepted


def _ends(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    last = sigmas[-2] if sigmas[-1] == 0 else sigmas[-1]
    return -sigmas[0].log(), -last.log()


def _orders(predictions: int) -> list[int]:
    """Threes, then what is left, ending low."""
    threes = predictions // 3
    if predictions % 3 == 0:
        return [3] * (threes - 1) + [2, 1]
    return [3] * threes + [predictions % 3]


def _sigma(t: Tensor) -> Tensor:
    return (-t).exp()


def _ancestral_time(t: Tensor, t_next: Tensor, end: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """(the time to solve to, the std of the noise then due)."""
    if not eta:
        return t_next, torch.zeros(())
    down, _ = noise_levels(_sigma(t), _sigma(t_next), eta)
    target = torch.minimum(end, -down.log())
    return target, (_sigma(t_next) ** 2 - _sigma(target) ** 2) ** 0.5


def _first(x: Tensor, eps: Tensor, t_next: Tensor, h: Tensor) -> Tensor:
    """First order over `h`, which ends at `t_next`: their difference would lose h's last digits."""
    return x - _sigma(t_next) * torch.expm1(h) * eps


def _second(x: Tensor, eps: Tensor, t: Tensor, t_next: Tensor) -> Look:
    """One look half-way: the results of first and second order."""
    h = t_next - t
    half = t + 1 / 2 * h
    low = _first(x, eps, t_next, h)
    change = yield from _change(_first(x, eps, half, 1 / 2 * h), eps, half)
    return low, low - _sigma(t_next) * torch.expm1(h) * change


def _third(x: Tensor, eps: Tensor, t: Tensor, t_next: Tensor) -> Look:
    """Looks after one and two thirds: the results of second and third order."""
    h = t_next - t
    third, two = t + 1 / 3 * h, t + 2 / 3 * h
    first = _first(x, eps, t_next, h)
    change = yield from _change(_first(x, eps, third, 1 / 3 * h), eps, third)
    low = first - _sigma(t_next) * 1.5 * torch.expm1(h) * change
    ahead = _first(x, eps, two, 2 / 3 * h) - _sigma(two) * 2 * _bend(2 / 3 * h) * change
    change = yield from _change(ahead, eps, two)
    return low, first - _sigma(t_next) * 1.5 * _bend(h) * change


def _change(ahead: Tensor, eps: Tensor, t: Tensor) -> Generator[Question, Tensor, Tensor]:
    """How the predicted noise at `ahead` differs from `eps`."""
    denoised = yield Midway(ahead, _sigma(t))
    return (ahead - denoised) / _sigma(t) - eps


def _bend(h: Tensor) -> Tensor:
    return torch.expm1(h) / h - 1
