"""Prepares pictures for image encoders."""

from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from graph.values import ClipVisionOutput

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
Color: TypeAlias = tuple[float, float, float]
Colors: TypeAlias = tuple[Color, Color]  # mean and spread


def join_seen(first: ClipVisionOutput, second: ClipVisionOutput) -> ClipVisionOutput:
    """What is in two pictures, their states one behind the other."""
    states = [own.penultimate_hidden_states for own in (first, second)]
    return replace(first, penultimate_hidden_states=torch.cat(states, dim=-2))


def preprocessed(image: Tensor, side: int, *, crop: bool, colors: Colors = (MEAN, STD)) -> Tensor:
    """Pictures [B, 3, side, side] as an encoder expects them, cropped in the middle or squeezed.

    (ComfyUI comfy/clip_vision.py, clip_preprocess)
    """
    x = image[..., :3].movedim(-1, 1)
    if x.shape[-2:] != (side, side):
        scale = side / min(x.shape[-2:])
        size = [round(scale * n) for n in x.shape[-2:]] if crop else [side, side]
        x = functional.interpolate(x, size=size, mode="bicubic", antialias=True)
        y, left = ((n - side) // 2 for n in size)
        x = x[..., y : y + side, left : left + side]
    x = torch.clip(255.0 * x, 0, 255).round() / 255.0
    mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in colors)
    return (x - mean) / std
