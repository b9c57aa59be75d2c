"""One step of an exponential integrator in half-log-SNR time, with data prediction.

lambda = log(alpha / sigma); between two levels h apart the linear part of the diffusion SDE is
solved exactly (Lu et al. 2022, DPM-Solver++, eqs. 8 and 13; Gonzalez et al. 2023, SEEDS, sec. 3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.schedules.model_sampling import ModelSampling


@dataclass(frozen=True)
class ExponentialStep:
    """From sigma to sigma_next, eta times the noise of the reverse SDE (0: the ODE)."""

    sigma: Tensor
    sigma_next: Tensor
    h: Tensor  # growth of lambda
    alpha_next: Tensor
    eta: float

    @classmethod
    def between(
        cls, model: ModelSampling, sigma: Tensor, sigma_next: Tensor, eta: float
    ) -> "ExponentialStep":
        h = model.half_log_snr(sigma_next) - model.half_log_snr(sigma)
        return cls(sigma, sigma_next, h, model.alpha(sigma_next), eta)

    @property
    def h_eta(self) -> Tensor:
        return self.h * (self.eta + 1)

    @property
    def phi_1(self) -> Tensor:
        """1 - exp(-h (1 + eta)), the weight of a constant prediction."""
        return -torch.expm1(-self.h_eta)

    @property
    def phi_2(self) -> Tensor:
        """The weight of a prediction's slope in h."""
        return 1 - self.phi_1 / self.h_eta

    @property
    def phi_3(self) -> Tensor:
        """The weight of a prediction's curvature in h, negative."""
        return self.phi_2 / self.h_eta - 0.5

    def first_order(self, x: Tensor, denoised: Tensor) -> Tensor:
        """Where x goes, without noise, while `denoised` stands."""
        shrink = self.sigma_next / self.sigma * (-self.h * self.eta).exp()
        return shrink * x + self.alpha_next * self.phi_1 * denoised

    def bend(self, change: Tensor) -> Tensor:
        """What an even `change` of the prediction over the step adds to `first_order`."""
        return self.alpha_next * self.phi_2 * change

    def part(self, model: ModelSampling, fraction: float) -> "ExponentialStep":
        """The first `fraction` of this step in lambda."""
        start, end = model.half_log_snr(self.sigma), model.half_log_snr(self.sigma_next)
        there = model.from_half_log_snr(torch.lerp(start, end, fraction))
        return ExponentialStep(self.sigma, there, fraction * self.h, model.alpha(there), self.eta)

    @property
    def noise_std(self) -> Tensor:
        return self.sigma_next * self.correlation_gap(self.h)

    def correlation_gap(self, h: Tensor) -> Tensor:
        """Std of the noise that comes in over `h`, in units of sigma at its end."""
        return (-torch.expm1(-2 * h * self.eta)).sqrt()
