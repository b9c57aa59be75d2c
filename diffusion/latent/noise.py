"""The noise of a request: what ComfyUI would draw for its seed, however requests are batched.

Every stream has a generator of its own; torch's global generator is neither read nor moved. Noise
is always drawn for the request's full batch, then cut to `rows`, so a batch that is spread over
replicas gets the noise it would have had in one piece.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

StepNoise: TypeAlias = Callable[[], Tensor]
BrownianNoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # of a step, from sigma to sigma

SEEDS = 2**64
TREE_DIGITS = 6  # to which a Brownian tree rounds its times


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed % SEEDS)


def prepare_noise(
    shape: Sequence[int], seed: int, batch_index: Sequence[int] | None = None
) -> Tensor:
    """The noise of a latent [B, C, ...] in float32 (ComfyUI comfy/sample.py, prepare_noise).

    With `batch_index`, row k is the draw number `batch_index[k]` of single pictures, so a picture
    taken from a batch keeps its noise; equal indices share it.
    """
    return _initial_draws(shape, seeded(seed), batch_index)


def _initial_draws(
    shape: Sequence[int], generator: torch.Generator, batch_index: Sequence[int] | None
) -> Tensor:
    if batch_index is None:
        return torch.randn(*shape, generator=generator)
    draws = [torch.randn(1, *shape[1:], generator=generator) for _ in range(max(batch_index) + 1)]
    return torch.cat([draws[index] for index in batch_index])


@dataclass(frozen=True)
class BrownianPath:
    """One Brownian path over lows..highs of sigma, the same whatever the steps asked of it.

    k-diffusion's BrownianTreeNoiseSampler: a step upwards is the path's increment, a step downwards
    its negative, scaled to unit variance.
    """

    seed: int
    shape: tuple[int, ...]
    low: Tensor
    high: Tensor
    device: torch.device | str

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        start, end = sorted((self._within(sigma), self._within(sigma_next)))
        sign = 1 if sigma < sigma_next else -1
        return self._tree(start, end) * sign / (sigma_next - sigma).abs().sqrt()

    def _within(self, sigma: Tensor) -> float:
        """`sigma` in the tree's range, whose ends the tree rounds; it warns of what is beyond."""
        low, high = (round(float(end), TREE_DIGITS) for end in (self.low, self.high))
        return min(max(float(sigma), low), high)

    @cached_property
    def _tree(self) -> Callable[[float, float], Tensor]:
        """torchsde.BrownianTree that keeps more of its nodes, as half of its work is redrawing."""
        import torchsde  # type: ignore[import-untyped]  # noqa: PLC0415  (for SDE samplers alone)

        tree: Callable[[float, float], Tensor] = torchsde.BrownianInterval(
            t0=self.low,
            t1=self.high,
            size=self.shape,
            dtype=torch.float32,
            device=self.device,
            entropy=self.seed,
            tol=10**-TREE_DIGITS,
            pool_size=24,
            cache_size=96,
            halfway_tree=True,
        )
        return tree


@dataclass(frozen=True)
class NoiseSource:
    """All noise of one request over a latent of `shape`, of which `rows` are computed here.

    It is delivered to `device`, where sampling happens. ComfyUI draws step noise where it samples,
    so the CPU's and a GPU's streams differ: `drawn_on` says whose is wanted. The initial noise is
    always the CPU's.
    """

    seed: int
    shape: tuple[int, ...]
    rows: slice | None = None
    batch_index: tuple[int, ...] | None = None
    device: torch.device | str = "cpu"
    drawn_on: torch.device | str = "cpu"

    def initial(self) -> Tensor:
        """The noise a run starts from."""
        return self._cut(prepare_noise(self.shape, self.seed, self.batch_index))

    def inpaint(self) -> Tensor:
        """The noise on the kept parts of a masked latent, for samplers that redraw it (ddim)."""
        return self._cut(torch.randn(*self.shape, generator=seeded(self.seed + 1)))

    def ancestral(self) -> StepNoise:
        """A stream of independent noise, one draw a call (k-diffusion default_noise_sampler)."""
        generator = seeded(self.seed, self.drawn_on)
        return lambda: self._cut(
            torch.randn(*self.shape, generator=generator, device=self.drawn_on)
        )

    def after_initial(self) -> torch.Generator:
        """The stream of the initial noise, where that ends."""
        generator = seeded(self.seed)
        _initial_draws(self.shape, generator, self.batch_index)
        return generator

    def continued(self) -> Callable[[Tensor], Tensor]:
        """The draws after the initial noise, each shaped like its argument, which may have grown.

        ComfyUI takes these from torch's global generator, which the initial noise has seeded, by
        `randn_like`: which number goes where follows from the argument's strides.
        """
        generator = self.after_initial()

        def draw(like: Tensor) -> Tensor:
            noise = torch.empty_strided((self.shape[0], *like.shape[1:]), like.stride())
            return self._cut(noise.normal_(generator=generator))

        return draw

    def brownian(self, sigmas: Tensor, *, on_device: bool = False) -> BrownianNoise:
        """Increments of one Brownian path over the range of `sigmas`, each of unit variance.

        Drawn on the CPU, or `on_device` where the other step noise is drawn (the *_gpu samplers).
        """
        positive = sigmas[sigmas > 0]
        low = positive.min() if len(positive) else sigmas.new_zeros(())
        high = sigmas.max() if len(sigmas) else low
        device = self.drawn_on if on_device else "cpu"
        path = BrownianPath(self.seed, self.shape, low, high, device)
        return lambda sigma, sigma_next: self._cut(path(sigma, sigma_next))

    def _cut(self, noise: Tensor) -> Tensor:
        return (noise if self.rows is None else noise[self.rows]).to(self.device)
