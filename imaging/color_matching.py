"""Colours of one picture taken over by another: transport of Gaussians, histograms, Reinhard.

The methods and their names are those of KJNodes' ColorMatch, which calls color-matcher.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graph.choices import ColorMatching
from graph.errors import ServiceError
from imaging.sizes import BatchMismatchError

Pixels: TypeAlias = npt.NDArray[Any]  # [N, 3]
Matrix: TypeAlias = npt.NDArray[Any]
DARKEST = 1 / 255  # what stands for black where a logarithm is taken
# Reinhard et al. 2001, equations 4, 6 and 9: RGB to LMS and back, and LMS to l-alpha-beta.
TO_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
FROM_LMS = np.array(
    [[4.4679, -3.5873, 0.1193], [-1.2186, 2.3809, -0.1624], [0.0497, -0.2439, 1.2045]]
)
TO_LAB = np.diag(1 / np.sqrt([3, 6, 2])) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])


@dataclass(eq=False)
class ColorChannelsError(ServiceError):
    """Pictures of which the colours cannot be matched."""

    status = 422
    code = "color_channels"
    template = "Colours can be matched between pictures of 3 channels only."


def match_colors(
    reference: Tensor, target: Tensor, method: ColorMatching, strength: float
) -> Tensor:
    """`target` [B, H, W, 3] with the colours of `reference`, picture by picture.

    Raises:
        BatchMismatchError: there are several references, and not one for each.
        ColorChannelsError: pictures have other channels than red, green and blue.
    """
    if strength == 0:
        return target
    if reference.shape[-1] < 3 or target.shape[-1] < 3:
        raise ColorChannelsError
    if len(reference) not in {1, len(target)}:
        raise BatchMismatchError(len(target), len(reference))
    matched = [
        _matched(target[k], reference[k if len(reference) > 1 else 0], method, strength)
        for k in range(len(target))
    ]
    return torch.stack(matched).to(target.device).clamp(0, 1)


def _matched(target: Tensor, reference: Tensor, method: ColorMatching, strength: float) -> Tensor:
    pixels, wanted = _pixels(target), _pixels(reference)
    if method == "reinhard":
        pixels, wanted = (np.where(one == 0, DARKEST, one) for one in (pixels, wanted))
    result = pixels
    for step in METHODS[method]:
        result = step(result, wanted)
    mixed = np.nan_to_num(pixels + strength * (result - pixels))
    return torch.from_numpy(mixed.astype(np.float32)).reshape(*target.shape[:2], 3)


def _pixels(picture: Tensor) -> Pixels:
    return picture[..., :3].reshape(-1, 3).cpu().numpy().astype(np.float64)


def transport(pixels: Pixels, wanted: Pixels) -> Pixels:
    """The linear map that moves one Gaussian to another at the least cost (Pitié, Kokaram 2007)."""
    of_pixels, of_wanted = np.cov(pixels.T), np.cov(wanted.T)
    root, inverse = _power(of_pixels, 0.5), _power(of_pixels, -0.5)
    moved = inverse @ _power(root @ of_wanted @ root, 0.5) @ inverse
    return cast(Pixels, (pixels - pixels.mean(0)) @ moved.T + wanted.mean(0))


def _power(matrix: Matrix, exponent: float) -> Matrix:
    """A power of a symmetric matrix; what is not positive in it counts as nothing."""
    values, vectors = np.linalg.eigh(matrix)
    roots = np.sqrt(values.clip(0))
    powers = roots if exponent > 0 else 1 / (roots + np.spacing(1))
    return cast(Matrix, (vectors * powers) @ vectors.T)


def match_histograms(pixels: Pixels, wanted: Pixels) -> Pixels:
    """Each channel with the values of `wanted` at the same ranks."""
    return np.stack([_ranked(pixels[:, k], wanted[:, k]) for k in range(3)], axis=1)


def _ranked(values: Pixels, wanted: Pixels) -> Pixels:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    levels, of_levels = np.unique(wanted, return_counts=True)
    shares, of_wanted = np.cumsum(counts) / values.size, np.cumsum(of_levels) / wanted.size
    return cast(Pixels, np.interp(shares, of_wanted, levels).astype(np.float32)[places])


def reinhard(pixels: Pixels, wanted: Pixels) -> Pixels:
    """Means and deviations of the axes of l-alpha-beta (Reinhard et al. 2001)."""
    lab, of_wanted = (np.log10(one @ TO_LMS.T) @ TO_LAB.T for one in (pixels, wanted))
    deviation = lab.std(0)
    ratio = np.divide(of_wanted.std(0), deviation, out=np.zeros(3), where=deviation > 0)
    aligned = (lab - lab.mean(0)) * ratio + of_wanted.mean(0)
    return cast(Pixels, 10 ** (aligned @ TO_LAB) @ FROM_LMS.T)  # the axes are orthonormal


Step = Callable[[Pixels, Pixels], Pixels]
# The pack's `mvgd` is its `mkl`: the choice never reaches the solver.
METHODS: Mapping[ColorMatching, tuple[Step, ...]] = MappingProxyType(
    {
        "mkl": (transport,),
        "mvgd": (transport,),
        "hm": (match_histograms,),
        "reinhard": (reinhard,),
        "hm-mvgd-hm": (match_histograms, transport, match_histograms),
        "hm-mkl-hm": (match_histograms, transport, match_histograms),
    }
)
