"""Multivals: numbers, or numbers for every frame and place of a video.

(ComfyUI-AnimateDiff-Evolved utils_motion.py, create_multival_combo and get_combined_multival)
"""

from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from graph.motion import Multival
from imaging.resize import resize

Amount: TypeAlias = float | Tensor  # a tensor is [F, H, W]


def amount(value: Multival | None) -> Amount | None:
    """What a multival says, if it says something."""
    if value is None:
        return None
    own = value.value
    if value.mask is None:
        return torch.tensor(own).reshape(-1, 1, 1) if isinstance(own, tuple) else own
    mask = torch.as_tensor(value.mask).float()
    mask = mask.reshape(-1, *mask.shape[-2:])
    if value.scaled is not None:
        mask = _scaled(mask, *value.scaled)
    if not isinstance(own, tuple):
        return mask * own
    numbers = torch.tensor(own).reshape(-1, 1, 1)
    count = max(len(mask), len(numbers))
    return extended(mask, count) * extended(numbers, count)


def _scaled(mask: Tensor, scaling: str, low: float, high: float) -> Tensor:
    if scaling == "absolute":
        return mask * (high - low) + low
    least, most = mask.min(), mask.max()
    return (mask - least) / (most - least) * (high - low) + low


def extended(tensor: Tensor, count: int) -> Tensor:
    """Cut to `count` entries, or with the last one repeated up to it."""
    missing = count - len(tensor)
    return tensor[:count] if missing <= 0 else torch.cat([tensor, *[tensor[-1:]] * missing])


def combined(first: Amount | None, second: Amount | None) -> Amount:
    """One times the other; what is not said is 1."""
    if first is None or second is None:
        given = second if first is None else first
        return 1.0 if given is None else given
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return first * second
    larger = first.shape[1:].numel() >= second.shape[1:].numel()
    lead, follow = (first, second) if larger else (second, first)
    height, width = lead.shape[1:]
    follow = resize(follow.unsqueeze(1), width, height, "bilinear", "center").squeeze(1)
    count = max(len(first), len(second))
    return extended(lead, count) * extended(follow, count)


def over_places(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask [F, H, W] in the size of a feature map, [F, 1, h, w]."""
    return functional.interpolate(mask.unsqueeze(1), size=(height, width), mode="bilinear")
