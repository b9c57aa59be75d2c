"""The protocol of noise levels that batches need (schedules/model_sampling.py implements it)."""

from typing import Protocol

from torch import Tensor


class PercentSchedule(Protocol):
    """Where parts of a schedule begin."""

    def percent_to_sigma(self, percent: float) -> float:
        """The sigma at which `percent` (0..1) of sampling is done."""


class NoiseLevels(PercentSchedule, Protocol):
    """How the input and the output of a network relate to sigma."""

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told for `sigma`; same shape."""

    def input_scaling(self, sigma: Tensor, x: Tensor) -> Tensor:
        """What the network sees of `x`."""

    def denoised(self, sigma: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """The clean latent that `output`, the network's answer to `x` at `sigma`, stands for."""
