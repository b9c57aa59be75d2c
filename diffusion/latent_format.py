"""What the numbers of a latent are: its axes, its scale, and how much of a picture each stands for.

Nothing else in diffusion/ knows how many pixels a latent stands for. Latents are [B, C, h, w], and
those of video models [B, C, T, h, w].
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LatentColors:
    """RGB in 0..1 as `latent @ factors + bias`, of a latent in its model's scale."""

    factors: tuple[tuple[float, float, float], ...]  # one row for each channel
    bias: tuple[float, float, float]

    def __call__(self, latent: Tensor) -> Tensor:
        """[C, h, w] -> [h, w, 3]."""
        return latent.movedim(0, -1) @ torch.tensor(self.factors) + torch.tensor(self.bias)


@dataclass(frozen=True)
class LatentFormat:
    """How latents on links become what the model sees: (x - mean) / std * scale, per channel.

    A latent pixel stands for `px` by `px` pixels of a picture. With `frames`, latents have a time
    axis, whose first entry is one frame of a video and each other one `frames` of them.
    """

    channels: int
    scale: float = 1.0
    shift: float = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    px: int = 8
    frames: int | None = None
    colors: LatentColors | None = None  # for previews

    @property
    def dimensions(self) -> int:
        """Axes after batch and channels."""
        return 2 if self.frames is None else 3


PLAYGROUND_LATENT = LatentFormat(
    4,
    0.5,
    mean=(-1.6574, 1.886, -1.383, 2.5155),
    std=(8.4927, 5.9022, 6.5498, 5.2299),
)


def process_in(format: LatentFormat, latent: Tensor) -> Tensor:
    """A latent from a link in the model's scale."""
    latent = latent - format.shift
    if format.mean is None or format.std is None:
        return latent * format.scale
    return (latent - _channels(format.mean, latent)) * format.scale / _channels(format.std, latent)


def process_out(format: LatentFormat, latent: Tensor) -> Tensor:
    """A latent of the model in the scale in which links carry it."""
    if format.mean is None or format.std is None:
        return latent / format.scale + format.shift
    std, mean = _channels(format.std, latent), _channels(format.mean, latent)
    return latent * std / format.scale + mean + format.shift


def _channels(values: tuple[float, ...], latent: Tensor) -> Tensor:
    numbers = torch.tensor(values, dtype=latent.dtype, device=latent.device)
    return numbers.reshape(1, -1, *[1] * (latent.ndim - 2))
