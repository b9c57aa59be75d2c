"""Previews of latents without an autoencoder.

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

from diffusion.latent_format import LatentFormat

LONGEST_PX = 512  # as ComfyUI's
QUALITY = 75


def preview(format: LatentFormat, denoised: Tensor) -> bytes:
    """The first picture of a batch as a JPEG, at most LONGEST_PX along its longer side.

    Of videos, the first frame.
    """
    latent = denoised[0].to("cpu", torch.float32)
    latent = latent if latent.ndim == 3 else latent[:, 0]
    rgb = (format.colors or first_channels)(latent).nan_to_num().clamp(0, 1)
    picture = Image.fromarray((rgb * 255).round().to(torch.uint8).numpy())
    scale = min(format.px, LONGEST_PX / max(picture.size))
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
