"""Latent formats: axes, scale, and pixels for each latent element.

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

# Of Wan 2.1, and of what shares its autoencoder.
WAN21_LATENT = LatentFormat(
    16,
    mean=(
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
    ),
    std=(
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
    ),
    frames=4,
)  # fmt: skip


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


# Of Wan 2.2's own autoencoder, as its configuration publishes it.
WAN22_LATENT = LatentFormat(
    48,
    mean=(
        *(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557),
        *(-0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825),
        *(-0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502),
        *(-0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230),
        *(-0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748),
        *(0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
    ),
    std=(
        *(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013),
        *(0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978),
        *(0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659),
        *(0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093),
        *(0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887),
        *(0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
    ),
    px=16,
    frames=4,
)
