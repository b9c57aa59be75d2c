"""SA-Solver: stochastic Adams predictor and corrector (Xue et al. 2023, arXiv 2309.05019).

tau scales the SDE's noise between two levels of sampling; outside them the ODE is solved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusion.samplers.protocol import Midway, Sampling, SamplingContext
from diffusion.schedules.model_sampling import ModelSampling


def sa_solver(
    x: Tensor,
    sigmas: Tensor,
    context: SamplingContext,
    *,
    eta: float = 1.0,
    sde_start_percent: float = 0.2,
    sde_end_percent: float = 0.8,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
) -> Sampling:
    """Algorithm 1; with `use_pece` the corrected state is asked about again.

    As in ComfyUI the state returned is the last corrected one, so of a schedule that does not end
    at 0 the last prediction is dropped.
    """
    draw, model = context.noise.ancestral(), context.model_sampling
    loudest, quietest = map(model.percent_to_sigma, (sde_start_percent, sde_end_percent))
    adams = _Adams(model.with_finite_snr(sigmas), model, simple_order_2)
    noise: Tensor | float = 0.0
    sigmas, tau, ahead = adams.sigmas, 0.0, x
    past: list[Tensor] = []  # predictions, newest first
    for i, sigma_next in enumerate(sigmas[1:]):
        denoised = yield ahead, sigmas[i]
        past = [denoised, *past[: max(predictor_order, corrector_order) - 1]]
        order = min(corrector_order, len(past), adams.room(i) + 1)
        if i == 0 or order == 0 or (sigma_next == 0 and not use_pece):
            x = ahead
        else:
            x = adams.step(x, i - 1, past[:order], tau, corrects=True) + noise
            if use_pece:
                denoised = yield Midway(x, sigmas[i])
                past[0] = denoised
        if sigma_next == 0:
            return denoised
        tau = eta if eta > 0 and loudest >= float(sigma_next) >= quietest else 0.0
        order = min(predictor_order, len(past), adams.room(i))
        noisy = tau > 0 and s_noise > 0
        noise = draw() * adams.noise_std(i, tau) * s_noise if noisy else 0.0
        ahead = adams.step(x, i, past[:order], tau) + noise
    return x


def sa_solver_pece(x: Tensor, sigmas: Tensor, context: SamplingContext, **options: Any) -> Sampling:
    """Predict, evaluate, correct, evaluate."""
    return (yield from sa_solver(x, sigmas, context, **{"use_pece": True, **options}))


@dataclass(frozen=True, eq=False)
class _Adams:
    """Stochastic Adams steps over one schedule; step i leads from sigmas[i] to sigmas[i + 1]."""

    sigmas: Tensor
    model: ModelSampling
    simple_order_2: bool

    def room(self, i: int) -> int:
        """The highest predictor order at step i: it falls towards a schedule's end at 0."""
        return len(self.sigmas) - 2 - i if self.sigmas[-1] == 0 else len(self.sigmas)

    def step(
        self, x: Tensor, i: int, past: Sequence[Tensor], tau: float, corrects: bool = False
    ) -> Tensor:
        """Step i without its noise. `past` starts at its start, a corrector's at its end."""
        newest = i + 1 if corrects else i
        nodes = self._lambdas(newest + 1 - len(past), newest + 1).flip(0)
        shrink = self.sigmas[i + 1] / self.sigmas[i] * (-(tau**2) * self._h(i)).exp()
        weights = self._weights(nodes, i, 1 + tau**2, corrects)
        bend = torch.zeros_like(x)
        for weight, prediction in zip(weights, past, strict=True):
            bend = bend + float(weight) * prediction
        return shrink * x + self.model.alpha(self.sigmas[i + 1]) * bend

    def noise_std(self, i: int, tau: float) -> Tensor:
        return self.sigmas[i + 1] * (-torch.expm1(-2 * tau**2 * self._h(i))).sqrt()

    def _lambdas(self, start: int, stop: int) -> Tensor:
        return self.model.half_log_snr(self.sigmas[start:stop].double())

    def _h(self, i: int) -> Tensor:
        return self._lambdas(i, i + 2).diff()[0]

    def _weights(self, nodes: Tensor, i: int, rate: float, corrects: bool) -> Tensor:
        """Weights of the predictions at `nodes` (eqs. 15 and 18), in units of alpha."""
        h = self._h(i)
        if self.simple_order_2 and len(nodes) == 2:
            return _simple_weights(nodes, h, rate, corrects)
        end = self._lambdas(i + 1, i + 2)
        basis = torch.stack([(nodes - end) ** p for p in range(len(nodes))])
        weights: Tensor = torch.linalg.solve(basis, _moments(h, len(nodes), rate))
        return weights


def _simple_weights(nodes: Tensor, h: Tensor, rate: float, corrects: bool) -> Tensor:
    """The cheaper weights of second order (app. D)."""
    total = -torch.expm1(-h * rate)
    if corrects:
        newest = 0.5 * rate * h
        return torch.stack([newest, total - newest])
    older = 0.5 * rate * h**2 / (nodes[1] - nodes[0])
    return torch.stack([total - older, older])


def _moments(h: Tensor, count: int, rate: float) -> Tensor:
    """Integrals over -h..0 of rate * exp(rate * u) * u**p for p below `count`, by parts."""
    decay = (-rate * h).exp()
    moments = [1 - decay]
    for p in range(1, count):
        moments.append(-((-h) ** p) * decay - p / rate * moments[-1])
    return torch.stack(moments)
