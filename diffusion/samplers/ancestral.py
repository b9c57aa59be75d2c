"""Stepping below the next noise level, then adding noise to reach it."""

from typing import NamedTuple

from torch import Tensor

from diffusion.samplers.protocol import SamplingContext


class AncestralStep(NamedTuple):
    """Go down to `sigma_down`; then the next level is `scale` * x + `sigma_up` * noise."""

    sigma_down: Tensor
    sigma_up: Tensor | float
    scale: Tensor | float


def ancestral_step(
    context: SamplingContext, sigma: Tensor, sigma_next: Tensor, eta: float
) -> AncestralStep:
    """`eta` 0 is the ODE, 1 the full ancestral step. On a flow the signal is scaled too."""
    if context.model_sampling.is_flow:
        return flow_step(sigma, sigma_next, eta)
    sigma_down, sigma_up = noise_levels(sigma, sigma_next, eta)
    return AncestralStep(sigma_down, sigma_up, 1.0)


def noise_levels(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor | float]:
    """(sigma_down, sigma_up) whose squares sum to sigma_next's (k-diffusion get_ancestral_step)."""
    if not eta:
        return sigma_next, 0.0
    posterior = (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5
    sigma_up = min(sigma_next, eta * posterior)  # in this order: NaN, from sigma inf, gives the cap
    return (sigma_next**2 - sigma_up**2) ** 0.5, sigma_up


def flow_step(sigma: Tensor, sigma_next: Tensor, eta: float) -> AncestralStep:
    """On a rectified flow, where signal + noise level is 1 (ComfyUI sample_euler_ancestral_RF)."""
    if not eta:
        return AncestralStep(sigma_next, 0.0, 1.0)
    sigma_down = sigma_next * (1 + (sigma_next / sigma - 1) * eta)
    scale = (1 - sigma_next) / (1 - sigma_down)
    return AncestralStep(sigma_down, (sigma_next**2 - sigma_down**2 * scale**2) ** 0.5, scale)


def toward(denoised: Tensor, x: Tensor, ratio: Tensor) -> Tensor:
    """x with its distance to `denoised` cut to `ratio`: the exact solution while that stands."""
    return ratio * x + (1 - ratio) * denoised
