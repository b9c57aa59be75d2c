"""Maps a model's time to sigma, with the sigma table that its schedules use.

Sigmas are float32; the maps take tensors of any shape. Same numbers as ComfyUI
comfy/model_sampling.py.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

Time = TypeVar("Time", float, Tensor)
BetaSchedule: TypeAlias = Literal["linear", "sqrt_linear", "sqrt", "cosine", "squaredcos_cap_v2"]


class TimeAxis(Protocol):
    """How a model's own time relates to sigma, and the sigmas its schedules are read from."""

    @property
    def sigmas(self) -> Tensor:
        """Rising table [T], float32."""

    def timestep(self, sigma: Tensor) -> Tensor: ...

    def sigma(self, timestep: Tensor) -> Tensor: ...

    def percent_to_sigma(self, percent: float) -> float:
        """The sigma after `percent` (0..1, exclusive) of the way from noise to picture."""


def betas_to_sigmas(betas: Tensor) -> Tensor:
    """sqrt((1 - a) / a) with a the cumulative product of 1 - beta, in the precision of `betas`."""
    alphas_cumprod = torch.cumprod(1.0 - betas, dim=0)
    return ((1 - alphas_cumprod) / alphas_cumprod) ** 0.5


def beta_table(
    schedule: BetaSchedule = "linear",
    timesteps: int = 1000,
    linear_start: float = 0.00085,
    linear_end: float = 0.012,
) -> Tensor:
    """Betas [timesteps] in float64. "linear" is linear in sqrt(beta), as Stable Diffusion's are."""
    if schedule in ("cosine", "squaredcos_cap_v2"):  # Nichol & Dhariwal 2021, eq. 17
        t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
        alpha_bar = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(0, 0.999)
    power = 0.5 if schedule == "linear" else 1.0
    ramp = torch.linspace(linear_start**power, linear_end**power, timesteps, dtype=torch.float64)
    exponent = {"linear": 2.0, "sqrt_linear": 1.0, "sqrt": 0.5}[schedule]
    return ramp**exponent


def zero_terminal_snr(sigmas: Tensor) -> Tensor:
    """`sigmas` rescaled so that the last step holds no signal (Lin et al. 2023, alg. 1).

    The last alpha is a tiny number instead of 0, as in ComfyUI, which keeps sigma finite (4518.8).
    """
    signal = (1 / (sigmas * sigmas + 1)).sqrt()
    first, last = signal[0], signal[-1]
    alpha_bar = ((signal - last) * (first / (first - last))) ** 2
    alpha_bar[-1] = 4.8973451890853435e-08
    return ((1 - alpha_bar) / alpha_bar) ** 0.5


@dataclass(frozen=True, eq=False)
class DiscreteTime:
    """Time is an index into a table of noise levels (DDPM); sigmas between are log-interpolated.

    With `stride` > 1 the table holds each stride-th level of a longer one, and times are counted in
    the longer one (distilled models: nodes_model_advanced.py, ModelSamplingDiscreteDistilled).
    """

    sigmas: Tensor
    log_sigmas: Tensor
    stride: int = 1

    @classmethod
    def of(cls, sigmas: Tensor) -> "DiscreteTime":
        return cls(sigmas.float(), sigmas.log().float())

    def distilled(self, levels: int = 50) -> "DiscreteTime":
        stride = len(self.sigmas) // levels
        kept = self.sigmas.flip(0)[::stride][:levels].flip(0)
        return DiscreteTime(kept, kept.log(), stride)

    def timestep(self, sigma: Tensor) -> Tensor:
        log_sigmas = self.log_sigmas.to(sigma.device)
        nearest = (sigma.log() - log_sigmas[:, None]).abs().argmin(dim=0).view(sigma.shape)
        return nearest * self.stride + (self.stride - 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        index = (timestep.float() - (self.stride - 1)) / self.stride
        index = index.clamp(min=0, max=len(self.sigmas) - 1)
        log_sigmas = self.log_sigmas.to(index.device)
        low, high, weight = index.floor().long(), index.ceil().long(), index.frac()
        return ((1 - weight) * log_sigmas[low] + weight * log_sigmas[high]).exp()

    def percent_to_sigma(self, percent: float) -> float:
        return self.sigma(torch.tensor((1.0 - percent) * 999.0)).item()


@dataclass(frozen=True)
class EdmTime:
    """Time is log(sigma) / 4 (Karras et al. 2022, table 1)."""

    lowest: float = 0.002
    highest: float = 120.0

    @cached_property
    def sigmas(self) -> Tensor:
        return torch.linspace(math.log(self.lowest), math.log(self.highest), 1000).exp()

    def timestep(self, sigma: Tensor) -> Tensor:
        return 0.25 * sigma.log()

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep / 0.25).exp()

    def percent_to_sigma(self, percent: float) -> float:
        low, high = math.log(self.sigmas[0]), math.log(self.sigmas[-1])
        return math.exp((high - low) * (1.0 - percent) + low)


@dataclass(frozen=True)
class AngularTime(EdmTime):
    """Time is the angle atan(sigma) in quarter turns (v-diffusion, Salimans & Ho 2022)."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma.atan() / math.pi * 2

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep * math.pi / 2).tan()


@dataclass(frozen=True)
class CosmosTime(EdmTime):
    """Time is sigma / (sigma + 1), the flow time of the same noise level (Cosmos)."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma / (sigma + 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        highest = self.sigmas[-1]
        above = timestep >= highest / (highest + 1)
        return torch.where(above, highest, timestep / (1 - timestep))


@dataclass(frozen=True)
class FlowTime:
    """Sigma is time in 0..1, shifted towards noise (Esser et al. 2024, eq. 23)."""

    shift: float = 1.0
    multiplier: float = 1000

    @cached_property
    def sigmas(self) -> Tensor:
        return self.sigma(torch.arange(1, 1001) / 1000 * self.multiplier)

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma * self.multiplier

    def sigma(self, timestep: Tensor) -> Tensor:
        return self._shifted(timestep / self.multiplier)

    def percent_to_sigma(self, percent: float) -> float:
        return self._shifted(1.0 - percent)

    def _shifted(self, t: Time) -> Time:
        return t if self.shift == 1.0 else self.shift * t / (1 + (self.shift - 1) * t)


@dataclass(frozen=True)
class ExponentialFlowTime:
    """Sigma is time in 0..1, shifted by exp(shift), which grows with the picture (Flux)."""

    shift: float = 1.15

    @cached_property
    def sigmas(self) -> Tensor:
        return self.sigma(torch.arange(1, 10001) / 10000)

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma

    def sigma(self, timestep: Tensor) -> Tensor:
        return self._shifted(timestep)

    def percent_to_sigma(self, percent: float) -> float:
        return self._shifted(1.0 - percent)

    def _shifted(self, t: Time) -> Time:
        return math.exp(self.shift) / (math.exp(self.shift) + (1 / t - 1))


@dataclass(frozen=True)
class CascadeTime:
    """Continuous cosine time in 0..1 with shifted log-SNR (Stable Cascade)."""

    shift: float = 1.0
    offset: float = 8e-3

    @cached_property
    def sigmas(self) -> Tensor:
        return self.sigma(torch.arange(1, 10001) / 10000)

    def timestep(self, sigma: Tensor) -> Tensor:
        s = torch.tensor(self.offset)
        angle = ((1 / (sigma * sigma + 1)).clamp(0, 1.0) * self._start()).sqrt().acos()
        return angle / (math.pi * 0.5) * (1 + s) - s

    def sigma(self, timestep: Tensor) -> Tensor:
        s = torch.tensor(self.offset)
        alpha = torch.cos((timestep + s) / (1 + s) * math.pi * 0.5) ** 2 / self._start()
        if self.shift != 1.0:
            log_snr = (alpha / (1 - alpha)).log() + 2 * torch.log(1.0 / torch.tensor(self.shift))
            alpha = log_snr.sigmoid()
        alpha = alpha.clamp(0.0001, 0.9999)
        return ((1 - alpha) / alpha) ** 0.5

    def percent_to_sigma(self, percent: float) -> float:
        return self.sigma(torch.tensor(1.0 - percent)).item()

    def _start(self) -> Tensor:
        s = torch.tensor(self.offset)
        return torch.cos(s / (1 + s) * math.pi * 0.5) ** 2
