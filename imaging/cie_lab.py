"""sRGB to CIE L*a*b* of the white point D65, and back."""

import torch
from torch import Tensor

TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE = (0.95047, 1.0, 1.08883)
LINEAR_BELOW = 0.008856  # of a share of the white point
SLOPE, SHIFT = 7.787, 4 / 29  # of the straight part


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """[B, 3, H, W] of 0..1."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4, rgb / 12.92)
    share = _mixed(linear, torch.tensor(TO_XYZ)) / _white(rgb)
    root = share.clamp(min=LINEAR_BELOW) ** (1 / 3)
    x, y, z = torch.where(share > LINEAR_BELOW, root, SLOPE * share + SHIFT).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """[B, 3, H, W], cut to 0..1."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    root = torch.stack([a / 500 + y, y, (y - b / 200).clamp(min=0)], dim=1)
    share = torch.where(root > SLOPE * LINEAR_BELOW + SHIFT, root**3, (root - SHIFT) / SLOPE)
    linear = _mixed(share * _white(lab), torch.tensor(TO_XYZ, dtype=torch.float64).inverse())
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, 12.92 * linear).clamp(0, 1)


def _mixed(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("rc,bchw->brhw", matrix.to(x), x)


def _white(x: Tensor) -> Tensor:
    return torch.tensor(WHITE).to(x)[:, None, None]
