"""Cuts, joins and edits sigmas: the sigma nodes of nodes_custom_sampler.py.

All take and give back sigmas [n], float32; nothing is changed in place.
"""

import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor

from diffusion.schedules.model_sampling import ModelSampling
from graph.choices import SigmaSpacing

_SPACINGS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "linear": lambda part: part,
        "cosine": lambda part: torch.sin(part * math.pi / 2),
        "sine": lambda part: 1 - torch.cos(part * math.pi / 2),
    }
)


def split(sigmas: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """(high, low), which share the sigma at `step`."""
    return sigmas[: step + 1], sigmas[step:]


def split_by_denoise(sigmas: Tensor, denoise: float) -> tuple[Tensor, Tensor]:
    """(high, low), of which low holds `denoise` (0..1) of the steps."""
    steps = round(max(len(sigmas) - 1, 0) * denoise)
    return sigmas[: len(sigmas) - steps if steps else 0], sigmas[-(steps + 1) :]


def flip(sigmas: Tensor) -> Tensor:
    """From low to high, to turn a picture into noise; a leading 0 becomes 0.0001."""
    rising = sigmas.flip(0)
    if len(rising) and rising[0] == 0:
        rising[0] = 0.0001
    return rising


def set_first(sigmas: Tensor, sigma: float) -> Tensor:
    return torch.cat([sigmas.new_tensor([sigma]), sigmas[1:]])


def extend_intermediate(
    sigmas: Tensor,
    steps: int,
    start_at_sigma: float = -1.0,
    end_at_sigma: float = 12.0,
    spacing: SigmaSpacing = "linear",
) -> Tensor:
    """Each step that starts between the two sigmas in `steps` parts. A start below 0: any."""
    highest = math.inf if start_at_sigma < 0 else start_at_sigma
    parts = _SPACINGS[spacing](torch.linspace(0, 1, steps + 1)[1:-1])
    pieces = []
    for here, there in pairwise(sigmas):
        pieces.append(here.reshape(1))
        if end_at_sigma <= here <= highest:
            pieces.append(parts * (there - here) + here)
    return torch.cat([*pieces, sigmas[-1:]])


def manual(text: str) -> Tensor:
    """The numbers in `text`, whatever is between them."""
    return torch.tensor([float(number) for number in re.findall(r"[-+]?(?:\d*\.)?\d+", text)])


def percent_to_sigma(model: ModelSampling, percent: float, *, actual: bool = False) -> float:
    """The sigma at `percent` (0..1); with `actual` 0 and 1 are the model's own ends."""
    if actual and percent in (0.0, 1.0):
        return float(model.sigma_max if percent == 0.0 else model.sigma_min)
    return model.percent_to_sigma(percent)
