"""How a network's output relates to sigma, time and the denoised latent.

A `ModelSampling` joins two facts about a model: what it predicts (eps, v, flow ...) and how its
time relates to sigma. It scales what goes into the network, reads the denoised latent from what
comes out and mixes noise with a latent. Same numbers as ComfyUI comfy/model_sampling.py, to the
bit on the CPU. Sigmas are float32 tensors, 0-dim or [B]; latents [B, C, ...].
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from diffusion.schedules.time_axes import (
    AngularTime,
    BetaSchedule,
    CascadeTime,
    CosmosTime,
    DiscreteTime,
    EdmTime,
    ExponentialFlowTime,
    FlowTime,
    TimeAxis,
    beta_table,
    betas_to_sigmas,
    zero_terminal_snr,
)

Prediction: TypeAlias = Literal[
    "eps", "v", "edm", "const", "x0", "img_to_img", "lcm", "cosmos_rflow"
]

BEFORE_ALL = 999999999.9  # the sigma of 0 percent: above every sigma, so an interval is open there


@dataclass(frozen=True, eq=False)
class ModelSampling:
    """What a model predicts and on which time axis."""

    prediction: Prediction
    time: TimeAxis
    sigma_data: float = 1.0

    @property
    def is_flow(self) -> bool:
        """Whether noise and latent are mixed along a straight line (rectified flow)."""
        return self.prediction == "const"

    @property
    def sigmas(self) -> Tensor:
        return self.time.sigmas

    @property
    def sigma_min(self) -> Tensor:
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told for `sigma`; same shape."""
        return self.time.timestep(sigma)

    def sigma(self, timestep: Tensor) -> Tensor:
        return self.time.sigma(timestep)

    def percent_to_sigma(self, percent: float) -> float:
        """The sigma at which `percent` (0..1) of sampling is done."""
        if percent <= 0.0:
            return 1.0 if isinstance(self.time, FlowTime | ExponentialFlowTime) else BEFORE_ALL
        return 0.0 if percent >= 1.0 else self.time.percent_to_sigma(percent)

    def input_scaling(self, sigma: Tensor, x: Tensor) -> Tensor:
        """What the network sees of `x`."""
        if self.prediction in ("const", "img_to_img"):
            return x
        sigma = _beside(x, sigma)
        if self.prediction == "cosmos_rflow":
            return x * (1.0 - sigma / (sigma + 1))
        return x / (sigma**2 + self.sigma_data**2) ** 0.5

    def denoised(self, sigma: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """The clean latent that `output`, the network's answer to `x` at `sigma`, stands for."""
        if self.prediction in ("x0", "img_to_img"):
            return output
        if self.prediction == "lcm":
            return self._consistency(sigma, output, x)
        sigma = _beside(x, sigma)
        if self.prediction == "cosmos_rflow":
            t = sigma / (sigma + 1)
            return x * (1.0 - t) - output * t
        if self.prediction in ("v", "edm"):
            data, total = self.sigma_data, sigma**2 + self.sigma_data**2
            noise = output * sigma * data / total**0.5
            return x * data**2 / total + (noise if self.prediction == "edm" else -noise)
        return x - output * sigma

    def _consistency(self, sigma: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """Boundary scalings of a latent consistency model (Luo et al. 2023, sec. 4)."""
        t, data = _beside(x, self.timestep(sigma)) * 10.0, 0.5
        skip, out = data**2 / (t**2 + data**2), t / (t**2 + data**2) ** 0.5
        return out * (x - output * _beside(x, sigma)) + skip * x

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent: Tensor, max_denoise: bool = False
    ) -> Tensor:
        """`latent` with `noise` at level `sigma`; `max_denoise` when nothing of it should show."""
        sigma = _beside(noise, sigma)
        if self.is_flow:
            return sigma * noise + (1.0 - sigma) * latent
        if max_denoise and self.prediction != "cosmos_rflow":
            return noise * torch.sqrt(1.0 + sigma**2.0) + latent
        return noise * sigma + latent

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """A finished (or half-finished, at `sigma`) latent in the scale in which links carry it."""
        return latent / (1.0 - _beside(latent, sigma)) if self.is_flow else latent

    def is_max_denoise(self, sigma: Tensor) -> bool:
        """Whether a run that starts at `sigma` starts from pure noise."""
        highest, first = float(self.sigma_max), float(sigma)
        return math.isclose(highest, first, rel_tol=1e-05) or first > highest

    def alpha(self, sigma: Tensor) -> Tensor:
        """The share of signal beside `sigma` of noise."""
        return 1 - sigma if self.is_flow else torch.ones_like(sigma)

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        """log(alpha / sigma), lambda of the DPM-Solver papers."""
        return -sigma.logit() if self.is_flow else -sigma.log()

    def from_half_log_snr(self, half_log_snr: Tensor) -> Tensor:
        return (-half_log_snr).sigmoid() if self.is_flow else (-half_log_snr).exp()

    def with_finite_snr(self, sigmas: Tensor) -> Tensor:
        """`sigmas` with a first flow sigma of 1, where log-SNR is -inf, moved just below it."""
        if not self.is_flow or len(sigmas) <= 1 or sigmas[0] < 1:
            return sigmas
        first = torch.full_like(sigmas[:1], self.percent_to_sigma(1e-4))
        return torch.cat([first, sigmas[1:]])


def _beside(x: Tensor, sigma: Tensor) -> Tensor:
    """`sigma` shaped to broadcast over `x`."""
    if sigma.numel() == 1:
        return sigma.reshape(())
    return sigma.reshape(-1, *[1] * (x.ndim - 1))


def discrete(
    prediction: Prediction = "eps",
    *,
    zsnr: bool = False,
    beta_schedule: BetaSchedule = "linear",
    timesteps: int = 1000,
    linear_start: float = 0.00085,
    linear_end: float = 0.012,
) -> ModelSampling:
    """Stable Diffusion's: a table of noise levels. "lcm" keeps 50 of them."""
    sigmas = betas_to_sigmas(beta_table(beta_schedule, timesteps, linear_start, linear_end))
    time = DiscreteTime.of(zero_terminal_snr(sigmas) if zsnr else sigmas)
    return ModelSampling(prediction, time.distilled() if prediction == "lcm" else time)


def continuous_edm(
    prediction: Prediction = "edm",
    *,
    sigma_min: float = 0.002,
    sigma_max: float = 120.0,
    sigma_data: float = 0.5,
) -> ModelSampling:
    """EDM-trained models (Karras et al. 2022), and Cosmos with prediction "cosmos_rflow"."""
    axis = CosmosTime if prediction == "cosmos_rflow" else EdmTime
    return ModelSampling(prediction, axis(sigma_min, sigma_max), sigma_data)


def continuous_v(*, sigma_min: float = 0.03, sigma_max: float = 500.0) -> ModelSampling:
    return ModelSampling("v", AngularTime(sigma_min, sigma_max))


def flow(*, shift: float = 1.0, multiplier: float = 1000) -> ModelSampling:
    """SD3's (multiplier 1000) and AuraFlow's (multiplier 1) rectified flow."""
    return ModelSampling("const", FlowTime(shift, multiplier))


def exponential_flow(*, shift: float = 1.15) -> ModelSampling:
    return ModelSampling("const", ExponentialFlowTime(shift))


def stable_cascade(*, shift: float = 1.0) -> ModelSampling:
    return ModelSampling("eps", CascadeTime(shift))
