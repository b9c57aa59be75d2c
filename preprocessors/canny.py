"""Canny edges (Canny 1986), with the constants of ComfyUI comfy_extras/nodes_canny.py.

The steps and numbers are those of kornia.filters.canny (0.8): a 5 x 5 Gaussian of deviation 1,
unnormalised Sobel gradients, directions in steps of 45 degrees, hysteresis over 8 neighbours.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

from graph.errors import ServiceError
from imaging.colors import luma
from imaging.filters import ImageTooSmallError

BLUR_RADIUS, BLUR_SIGMA = 2, 1.0
EPS = 1e-6  # under the root of the magnitude
# (down, right) of the neighbour in each direction, clockwise from the right in steps of 45 degrees
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


@dataclass(eq=False)
class ThresholdOrderError(ServiceError):
    """Edges that would have to be stronger to be continued than to be begun."""

    status = 422
    code = "threshold_order"
    template = "low_threshold may be at most high_threshold, {high}; it is {low}."
    low: float
    high: float


def canny(image: Tensor, low_threshold: float, high_threshold: float) -> Tensor:
    """White edges on black, [B, H, W, 3].

    Edges are ridges of the gradient's magnitude above `high_threshold`, and those above
    `low_threshold` that touch them through others.

    Raises:
        ThresholdOrderError: the low threshold is the higher one.
        ImageTooSmallError: the picture cannot be mirrored as far as it is blurred.
    """
    if low_threshold > high_threshold:
        raise ThresholdOrderError(low_threshold, high_threshold)
    grey = luma(image)[:, None]
    height, width = grey.shape[-2:]
    if min(height, width) <= BLUR_RADIUS:
        raise ImageTooSmallError(BLUR_RADIUS, width, height)
    dx, dy = gradients(blur(grey))
    magnitude = torch.sqrt(dx * dx + dy * dy + EPS)
    ridges = magnitude * is_ridge(magnitude, torch.atan2(dy, dx))
    edges = connected(ridges > high_threshold, ridges > low_threshold)
    return edges.to(image).movedim(1, -1).expand(-1, -1, -1, 3)


def blur(x: Tensor) -> Tensor:
    """[B, 1, H, W] behind the Gaussian, mirrored at the edges."""
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-(offsets**2) / (2 * BLUR_SIGMA**2))
    weights = weights / weights.sum()
    mirrored = pad(x, (BLUR_RADIUS,) * 4, mode="reflect")
    return conv2d(conv2d(mirrored, weights[None, None, None]), weights[None, None, :, None])


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's derivatives to the right and down, [B, 1, H, W] each, edges repeated outwards."""
    right = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]).to(x)
    kernels = torch.stack([right, right.T])[:, None]
    both = conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), kernels)
    return both[:, :1], both[:, 1:]


def is_ridge(magnitude: Tensor, angle: Tensor) -> Tensor:
    """Where the magnitude is above that of both neighbours along the gradient; outside is 0."""
    padded = pad(magnitude, (1, 1, 1, 1))
    height, width = magnitude.shape[-2:]
    rises = torch.cat(
        [
            magnitude - padded[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]
            for down, right in DIRECTIONS
        ],
        dim=1,
    )
    ahead = (angle * (4 / math.pi)).round().long() % 8
    behind = (ahead + 4) % 8
    return (rises.gather(1, ahead) > 0) & (rises.gather(1, behind) > 0)


def connected(strong: Tensor, weak: Tensor) -> Tensor:
    """`strong` pixels and the `weak` ones that reach them through weak neighbours."""
    while True:
        grown = (max_pool2d(strong.float(), 3, stride=1, padding=1) > 0) & weak | strong
        if torch.equal(grown, strong):
            return strong
        strong = grown
