"""Bislerp resampling: spherical interpolation between neighbouring vectors.

ComfyUI comfy/utils.py, bislerp: along each axis in turn, the channel vectors of the two nearest
pixels are interpolated on the sphere (Shoemake 1985) and their lengths linearly.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

SAME_DIRECTION = 1 - 1e-5  # cosines beyond this have no useful arc


def bislerp(x: Tensor, width: int, height: int) -> Tensor:
    """[B, C, h, w] resampled to [B, C, height, width].

    Its strides, by which `randn_like` draws, are ComfyUI's: channels last for several pictures.
    """
    return _along(_along(x.float(), -1, width), -2, height).to(x.dtype)


def _along(x: Tensor, axis: int, size: int) -> Tensor:
    first, second, ratio = _neighbours(x.shape[axis], size, x.device)
    shape = [1, 1, 1, 1]
    shape[axis] = size
    ends = x.index_select(axis, first), x.index_select(axis, second), ratio.reshape(shape)
    before, after, ratio = (end.movedim(1, -1) for end in ends)
    if len(x) > 1:
        before, after = before.contiguous(), after.contiguous()
    return slerp(before, after, ratio).movedim(-1, 1)


def _neighbours(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `new` places, the pixels before and after it, and how far past the first."""
    index = torch.arange(old, dtype=torch.float32, device=device)
    ahead = (index + 1).clamp(max=old - 1)
    place = interpolate(torch.stack([index, ahead])[None, :, None], size=(1, new), mode="bilinear")
    first, second = place[0, :, 0]
    return first.long(), second.long(), first - first.floor()


def slerp(a: Tensor, b: Tensor, ratio: Tensor) -> Tensor:
    """From `a` (ratio 0) to `b` (ratio 1) on the arc between them; vectors lie along the end."""
    length_a = torch.linalg.vector_norm(a, dim=-1, keepdim=True)
    length_b = torch.linalg.vector_norm(b, dim=-1, keepdim=True)
    unit_a = torch.where(length_a == 0, 0, a / length_a)
    unit_b = torch.where(length_b == 0, 0, b / length_b)
    cosine = (unit_a * unit_b).sum(-1, keepdim=True)
    omega = torch.acos(cosine)
    share_a = torch.sin((1 - ratio) * omega) / omega.sin()
    share_b = torch.sin(ratio * omega) / omega.sin()
    arc = share_a * unit_a + share_b * unit_b
    turned = arc * (length_a * (1 - ratio) + length_b * ratio)
    turned = torch.where(cosine > SAME_DIRECTION, a, turned)
    return torch.where(cosine < -SAME_DIRECTION, a * (1 - ratio) + b * ratio, turned)
