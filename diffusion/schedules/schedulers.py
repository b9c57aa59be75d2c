"""Schedulers: falling sigmas [steps + 1], float32.

The nine of KSampler by name in SCHEDULERS, and the formulas of the *Scheduler nodes. ComfyUI
comfy/samplers.py, comfy/k_diffusion/sampling.py and comfy_extras/nodes_custom_sampler.py hold the
same numbers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from diffusion.schedules.model_sampling import ModelSampling

Schedule: TypeAlias = Callable[[ModelSampling, int], Tensor]


def schedule(name: str, model: ModelSampling, steps: int) -> Tensor:
    return SCHEDULERS[name](model, steps)


def steps_between(
    sigmas: Tensor, start_step: int, last_step: int, *, force_full_denoise: bool
) -> Tensor:
    """KSamplerAdvanced's part of a schedule; empty when it has no step.

    `force_full_denoise` replaces the sigma it would stop at by 0.
    """
    if last_step < len(sigmas) - 1:
        sigmas = sigmas[: last_step + 1]
        if force_full_denoise:
            sigmas = torch.cat([sigmas[:-1], sigmas.new_zeros(1)])
    return sigmas[start_step:] if start_step < len(sigmas) - 1 else sigmas[:0]


def basic(model: ModelSampling, scheduler: str, steps: int, denoise: float = 1.0) -> Tensor:
    """BasicScheduler: knows no sampler, so leaves no sigma out."""
    if denoise <= 0.0:
        return torch.zeros(0)
    total = int(steps / denoise) if denoise < 1.0 else steps
    return schedule(scheduler, model, total)[-(steps + 1) :]


def simple(model: ModelSampling, steps: int) -> Tensor:
    """Evenly through the model's table, from its end."""
    stride = len(model.sigmas) / steps
    return _with_zero([float(model.sigmas[-(1 + int(k * stride))]) for k in range(steps)])


def ddim_uniform(model: ModelSampling, steps: int) -> Tensor:
    """Every n-th entry of the table, from its second (Song et al. 2020). May be a step longer."""
    table = model.sigmas
    reaches_zero = math.isclose(float(table[1]), 0, abs_tol=0.00001)
    stride = max(len(table) // (steps + 1 if reaches_zero else steps), 1)
    falling = table[1::stride].flip(0).float()
    return falling if reaches_zero else _with_zero(falling)


def normal(model: ModelSampling, steps: int, *, sgm: bool = False) -> Tensor:
    """Evenly in the model's time; `sgm` leaves out the end, so steps are a little longer."""
    start, end = (float(model.timestep(s)) for s in (model.sigma_max, model.sigma_min))
    reaches_zero = math.isclose(float(model.sigma(torch.tensor(end))), 0, abs_tol=0.00001)
    if sgm:
        times = torch.linspace(start, end, steps + 1)[:-1]
    else:
        times = torch.linspace(start, end, steps + 1 if reaches_zero else steps)
    sigmas = torch.stack([model.sigma(t) for t in times]).float()
    return sigmas if reaches_zero and not sgm else _with_zero(sigmas)


def beta(model: ModelSampling, steps: int, *, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Times at the quantiles of a Beta distribution (Lee et al. 2024, arXiv 2407.12173)."""
    from scipy.special import betaincinv  # type: ignore[import-untyped]  # noqa: PLC0415

    quantiles = 1 - np.linspace(0, 1, steps, endpoint=False)
    times = np.rint(betaincinv(alpha, beta, quantiles) * (len(model.sigmas) - 1)).astype(int)
    kept = [t for k, t in enumerate(times) if k == 0 or t != times[k - 1]]
    return _with_zero(model.sigmas[kept])


def linear_quadratic(model: ModelSampling, steps: int, *, threshold: float = 0.025) -> Tensor:
    """Half the steps through the first `threshold` of the way, the rest ever wider.

    (Genmo, github.com/genmoai/mochi, Apache-2.0, linear_quadratic_schedule)
    """
    if steps == 1:
        return torch.tensor([1.0, 0.0]) * model.sigma_max
    linear = steps // 2
    curved = steps - linear
    lag = linear - threshold * steps
    a = lag / (linear * curved**2)
    b = threshold / linear - 2 * lag / curved**2
    done = [k * threshold / linear for k in range(linear)]
    done += [a * k**2 + b * k + a * linear**2 for k in range(linear, steps)]
    return torch.tensor([1.0 - part for part in [*done, 1.0]]) * model.sigma_max


def karras(steps: int, sigma_max: float, sigma_min: float, rho: float = 7.0) -> Tensor:
    """Evenly in sigma ** (1 / rho) (Karras et al. 2022, eq. 5)."""
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return _with_zero((high + torch.linspace(0, 1, steps) * (low - high)) ** rho)


def exponential(steps: int, sigma_max: float, sigma_min: float) -> Tensor:
    """Evenly in log sigma."""
    return _with_zero(torch.linspace(math.log(sigma_max), math.log(sigma_min), steps).exp())


def polyexponential(steps: int, sigma_max: float, sigma_min: float, rho: float = 1.0) -> Tensor:
    """A power of time in log sigma."""
    ramp = torch.linspace(1, 0, steps) ** rho
    low, high = math.log(sigma_min), math.log(sigma_max)
    return _with_zero(torch.exp(ramp * (high - low) + low))


def kl_optimal(steps: int, sigma_max: float, sigma_min: float) -> Tensor:
    """Evenly in arctan sigma (Sabour et al. 2024, Align Your Steps, app. A)."""
    part = torch.arange(steps, dtype=torch.float) / max(steps - 1, 1)
    return _with_zero((part * math.atan(sigma_min) + (1 - part) * math.atan(sigma_max)).tan())


def laplace(
    steps: int, sigma_max: float, sigma_min: float, mu: float = 0.0, beta: float = 0.5
) -> Tensor:
    """Log sigma at the quantiles of a Laplace distribution (Hang et al. 2024). No final 0."""
    offset = 0.5 - torch.linspace(0, 1, steps)
    log_sigma = mu - beta * torch.sign(offset) * torch.log(1 - 2 * torch.abs(offset) + 1e-5)
    return log_sigma.exp().clamp(min=sigma_min, max=sigma_max)


def vp(steps: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 0.001) -> Tensor:
    """The variance-preserving SDE's own (Song et al. 2021; Karras et al. 2022, table 1)."""
    t = torch.linspace(1, eps_s, steps)
    return _with_zero(torch.sqrt(torch.special.expm1(beta_d * t**2 / 2 + beta_min * t)))


def sd_turbo(model: ModelSampling, steps: int, denoise: float = 1.0) -> Tensor:
    """`steps` of the ten times SD-Turbo was distilled at, after 1 - `denoise` of them."""
    start = 10 - int(10 * denoise)
    times = (torch.arange(1, 11) * 100 - 1).flip(0)[start : start + steps]
    return _with_zero(model.sigma(times))


def ltxv(
    steps: int,
    tokens: int = 4096,
    *,
    max_shift: float = 2.05,
    base_shift: float = 0.95,
    terminal: float | None = 0.1,
) -> Tensor:
    """Flow sigmas shifted by the number of latent `tokens`, then stretched to end at `terminal`."""
    slope = (max_shift - base_shift) / (4096 - 1024)
    shift = math.exp(tokens * slope + base_shift - slope * 1024)
    t = torch.linspace(1.0, 0.0, steps + 1)[:-1]
    sigmas = shift / (shift + (1 / t - 1))
    done = 1.0 - sigmas
    if terminal is not None and done[-1] > 0:  # it is 0 when there is but one step, from 1
        sigmas = 1.0 - done / (done[-1] / (1.0 - terminal))
    return _with_zero(sigmas)


def flux2(steps: int, tokens: int) -> Tensor:
    """Flow sigmas shifted by the number of a picture's `tokens` and, up to 4300, by the steps.

    (ComfyUI comfy_extras/nodes_flux.py, Flux2Scheduler)
    """
    of_200 = 0.00016927 * tokens + 0.45666666
    of_10 = 8.73809524e-05 * tokens + 1.89833333
    slope = (of_200 - of_10) / 190.0
    mu = of_200 if tokens > 4300 else slope * steps + (of_200 - 200.0 * slope)
    t = torch.linspace(1, 0, steps + 1)
    return math.exp(mu) / (math.exp(mu) + (1 / t - 1))


def _over_range(formula: Callable[[int, float, float], Tensor]) -> Schedule:
    """A formula as a schedule over all of a model's sigmas."""
    return lambda model, steps: formula(steps, float(model.sigma_max), float(model.sigma_min))


def _with_zero(sigmas: Tensor | Sequence[float]) -> Tensor:
    falling = torch.as_tensor(sigmas, dtype=torch.float32)
    return torch.cat([falling, falling.new_zeros(1)])


SCHEDULERS: Mapping[str, Schedule] = MappingProxyType(
    {
        "simple": simple,
        "sgm_uniform": partial(normal, sgm=True),
        "karras": _over_range(karras),
        "exponential": _over_range(exponential),
        "ddim_uniform": ddim_uniform,
        "beta": beta,
        "normal": normal,
        "linear_quadratic": linear_quadratic,
        "kl_optimal": _over_range(kl_optimal),
    }
)
