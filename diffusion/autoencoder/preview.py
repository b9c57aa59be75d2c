"""Small pictures of a latent on its way, without its autoencoder.

A latent pixel is nearly a linear function of the picture's colour there, so one matrix shows what
comes.
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from diffusion.families.sd.loading import SD15_LATENT, SDXL_LATENT, LatentFormat

LONGEST_PX = 256
LATENT_PX = 8  # a latent pixel's side in the picture
QUALITY = 75


@dataclass(frozen=True)
class LatentColors:
    """RGB in 0..1 as `latent @ factors + bias`, of a latent in its model's scale."""

    factors: tuple[tuple[float, float, float], ...]  # one row for each channel
    bias: tuple[float, float, float]

    def __call__(self, latent: Tensor) -> Tensor:
        """[C, h, w] -> [h, w, 3]."""
        return latent.movedim(0, -1) @ torch.tensor(self.factors) + torch.tensor(self.bias)


# keturn, "Decoding latents to RGB without upscaling", discuss.huggingface.co/t/23204 (2022);
# halved and moved up by a half here, as it is published for -1..1.
SD15_COLORS = LatentColors(
    (
        (0.149, 0.1035, 0.104),
        (0.0935, 0.143, 0.0865),
        (-0.079, 0.0945, 0.132),
        (-0.092, -0.1355, -0.2365),
    ),
    (0.5, 0.5, 0.5),
)
# Timothy Alexis Vass, "Explaining the SDXL latent space", huggingface.co/blog/TimothyAlexisVass
# (2023), there in 0..255.
SDXL_COLORS = LatentColors(
    (
        (60 / 255, 60 / 255, 60 / 255),
        (-60 / 255, -5 / 255, 10 / 255),
        (25 / 255, 15 / 255, -5 / 255),
        (-70 / 255, -50 / 255, -35 / 255),
    ),
    (150 / 255, 140 / 255, 130 / 255),
)
COLORS = {SD15_LATENT: SD15_COLORS, SDXL_LATENT: SDXL_COLORS}


def preview(format: LatentFormat, denoised: Tensor) -> bytes:
    """The first picture of [B, C, h, w] as a JPEG, at most LONGEST_PX along its longer side."""
    latent = denoised[0].to("cpu", torch.float32)
    rgb = COLORS.get(format, first_channels)(latent).nan_to_num().clamp(0, 1)
    picture = Image.fromarray((rgb * 255).round().to(torch.uint8).numpy())
    scale = min(LATENT_PX, LONGEST_PX / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    file = io.BytesIO()
    picture.resize((width, height), Image.Resampling.BILINEAR).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def first_channels(latent: Tensor) -> Tensor:
    """[C, h, w] -> [h, w, 3] in 0..1, for latents whose colours nobody has published."""
    shown = torch.cat([latent[:3], latent[:1], latent[:1]])[:3]
    low, high = shown.amin((-2, -1)), shown.amax((-2, -1))
    spread = (high - low).clamp(min=1e-6)
    return (shown.movedim(0, -1) - low) / spread


@dataclass
class Previews:
    """The previews of one run: none for steps that come sooner than `interval_s` after the last."""

    interval_s: float = 0.5
    now: Callable[[], float] = time.monotonic
    _due_s: float = field(default=float("-inf"), init=False)

    def __call__(self, format: LatentFormat, denoised: Tensor) -> bytes | None:
        now = self.now()
        if now < self._due_s:
            return None
        self._due_s = now + self.interval_s
        return preview(format, denoised)
