"""The batch of latents that one job's conditions refer to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.controls import Control
from diffusion.batch.fitting import middle, spread_to
from diffusion.batch.grounding import LoadedGrounding
from diffusion.batch.hooks import PromptHooks
from diffusion.batch.noise_levels import PercentSchedule
from diffusion.latent_format import LatentFormat
from graph.values import ControlUse, Gligen, WeightHook


@dataclass(frozen=True, eq=False)
class Frame:
    """One job's latents as its model sees them."""

    latent: Tensor  # [B, C, h, w] or [B, C, T, h, w], in the model's scale
    denoise_mask: Tensor | None  # as the latent, 1 where to denoise
    sampling: PercentSchedule
    format: LatentFormat
    seed: int = 0  # of the noise that is applied to what was seen in pictures
    controls: Mapping[ControlUse, Control] = field(default_factory=dict)
    groundings: Mapping[Gligen, LoadedGrounding] = field(default_factory=dict)
    hooks: Mapping[tuple[WeightHook, ...], PromptHooks] = field(default_factory=dict)

    @property
    def shape(self) -> torch.Size:
        return self.latent.shape

    @property
    def device(self) -> torch.device:
        return self.latent.device


def fitted_to(frame: Frame, tensor: Tensor) -> Tensor:
    """[b, c, H, W] cut to the latent's proportions, scaled to its size, spread over its batch."""
    height, width = frame.shape[-2:]
    if tensor.shape[-2:] != frame.shape[-2:]:
        cut = middle(tensor, width / height)
        tensor = functional.interpolate(cut, size=(height, width), mode="bilinear")
    return spread_to(tensor, frame.shape[0])
