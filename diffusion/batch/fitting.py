"""Fits tensors to the batch size or the aspect ratio of a batch of latents."""

import math

import torch
from torch import Tensor


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


def middle(tensor: Tensor, aspect: float) -> Tensor:
    """The middle of [..., H, W] that has the proportions `aspect` (width to height)."""
    height, width = tensor.shape[-2:]
    x = max(0, round((width - width * (aspect / (width / height))) / 2))
    y = max(0, round((height - height * ((width / height) / aspect)) / 2))
    return tensor[..., y : height - y, x : width - x]
