"""What one job's conditions are measured against: its latent batch, its model's traits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.families.sd.loading import LatentFormat, YKind
from graph.values import ControlUse

if TYPE_CHECKING:
    from diffusion.batch.controls import Control


class PercentSchedule(Protocol):
    """The part of a ModelSampling that conditions need."""

    def percent_to_sigma(self, percent: float) -> float: ...


@dataclass(frozen=True, eq=False)
class Frame:
    """One job's latents as its model sees them."""

    latent: Tensor  # [B, C, h, w], in the model's scale
    denoise_mask: Tensor | None  # [B, C, h, w], 1 where to denoise
    sampling: PercentSchedule
    format: LatentFormat
    in_channels: int
    y_kind: YKind = "none"
    y_width: int = 0
    seed: int = 0  # of the noise that is laid on what was seen in pictures
    controls: "Mapping[ControlUse, Control]" = field(default_factory=dict)
    scaled_concat: bool = False  # InstructPix2Pix pictures come in the model's scale, not the VAE's

    @property
    def shape(self) -> torch.Size:
        return self.latent.shape

    @property
    def device(self) -> torch.device:
        return self.latent.device


def repeat_to(tensor: Tensor, batch: int) -> Tensor:
    """`tensor` cycled or cut to `batch` entries. (ComfyUI comfy/utils.py, repeat_to_batch_size)"""
    if len(tensor) == batch:
        return tensor
    times = math.ceil(batch / len(tensor))
    return tensor.repeat(times, *([1] * (tensor.ndim - 1)))[:batch]


def spread_to(tensor: Tensor, batch: int) -> Tensor:
    """`tensor` stretched or thinned evenly to `batch` entries.

    (ComfyUI comfy/utils.py, resize_to_batch_size)
    """
    have = len(tensor)
    if have == batch or batch <= 1:
        return tensor[:batch]
    if batch < have:
        picks = [round(i * (have - 1) / (batch - 1)) for i in range(batch)]
    else:
        picks = [math.floor((i + 0.5) * have / batch) for i in range(batch)]
    return tensor[torch.tensor([min(pick, have - 1) for pick in picks], device=tensor.device)]


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
    return torch.tensor(values, dtype=latent.dtype, device=latent.device).reshape(1, -1, 1, 1)


def fitted_to(frame: Frame, tensor: Tensor) -> Tensor:
    """[b, c, H, W] cut to the latent's proportions, scaled to its size, spread over its batch."""
    height, width = frame.shape[-2:]
    if tensor.shape[-2:] != frame.shape[-2:]:
        cut = _middle(tensor, width / height)
        tensor = functional.interpolate(cut, size=(height, width), mode="bilinear")
    return spread_to(tensor, frame.shape[0])


def _middle(tensor: Tensor, aspect: float) -> Tensor:
    """The middle of [..., H, W] that has the proportions `aspect` (width to height)."""
    height, width = tensor.shape[-2:]
    x = max(0, round((width - width * (aspect / (width / height))) / 2))
    y = max(0, round((height - height * ((width / height) / aspect)) / 2))
    return tensor[..., y : height - y, x : width - x]
