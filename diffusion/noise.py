"""The noise of one request: what ComfyUI would draw for its seed, whoever else is being served.

Every stream has a generator of its own; torch's global generator is neither read nor moved. Noise
is always drawn for the request's full batch, then cut to `rows`, so a batch that is spread over
replicas gets the noise it would have had in one piece.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

StepNoise: TypeAlias = Callable[[], Tensor]
BrownianNoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # of a step, from sigma to sigma

SEEDS = 2**64


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed % SEEDS)


def prepare_noise(
    shape: Sequence[int], seed: int, batch_index: Sequence[int] | None = None
) -> Tensor:
    """The noise of a latent [B, C, ...] in float32 (ComfyUI comfy/sample.py, prepare_noise).

    With `batch_index`, row k is the draw number `batch_index[k]` of single pictures, so a picture
    taken from a batch keeps its noise; equal indices share it.
    """
    generator = seeded(seed)
    if batch_index is None:
        return torch.randn(*shape, generator=generator)
    draws = [torch.randn(1, *shape[1:], generator=generator) for _ in range(max(batch_index) + 1)]
    return torch.cat([draws[index] for index in batch_index])


@dataclass(frozen=True)
class NoiseSource:
    """All noise of one request over a latent of `shape`, of which `rows` are computed here.

    `device` is where ancestral noise is drawn; ComfyUI draws it where it samples, so the CPU's and
    a GPU's streams differ. The initial noise is always the CPU's.
    """

    seed: int
    shape: tuple[int, ...]
    rows: slice | None = None
    batch_index: tuple[int, ...] | None = None
    device: torch.device | str = "cpu"

    def initial(self) -> Tensor:
        """The noise a run starts from."""
        return self._cut(prepare_noise(self.shape, self.seed, self.batch_index))

    def inpaint(self) -> Tensor:
        """The noise on the kept parts of a masked latent, for samplers that redraw it (ddim)."""
        return self._cut(torch.randn(*self.shape, generator=seeded(self.seed + 1)))

    def ancestral(self) -> StepNoise:
        """A stream of independent noise, one draw a call (k-diffusion default_noise_sampler)."""
        generator = seeded(self.seed, self.device)
        return lambda: self._cut(torch.randn(*self.shape, generator=generator, device=self.device))

    def brownian(self, sigmas: Tensor, *, on_device: bool = False) -> BrownianNoise:
        """Increments of one Brownian path over the range of `sigmas`, each of unit variance.

        The same path whatever the steps asked for (k-diffusion BrownianTreeNoiseSampler). The tree
        lives on the CPU unless `on_device`.
        """
        # Imported late: scipy comes with it, and only SDE samplers need it.
        import torchsde  # type: ignore[import-untyped]  # noqa: PLC0415

        low, high = sigmas[sigmas > 0].min(), sigmas.max()
        device = self.device if on_device else "cpu"
        tree = torchsde.BrownianTree(
            low, torch.zeros(self.shape, device=device), high, entropy=self.seed
        )

        def increment(sigma: Tensor, sigma_next: Tensor) -> Tensor:
            start, end = sorted((sigma.clamp(low, high), sigma_next.clamp(low, high)))
            sign = 1 if sigma < sigma_next else -1
            return self._cut(tree(start, end)) * sign / (sigma_next - sigma).abs().sqrt()

        return increment

    def _cut(self, noise: Tensor) -> Tensor:
        return noise if self.rows is None else noise[self.rows]
