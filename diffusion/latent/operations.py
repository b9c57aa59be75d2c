"""What a LATENT_OPERATION does: [B, C, h, w] to the same shape.

An operation is described by a Change, so that it can be applied to a model as well as used at once.
Source: ComfyUI comfy_extras/nodes_latent.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from graph.values import Change, Latent
from imaging.filters import sharpen_channels


def apply_latent_operation(latent: Latent, operation: Change) -> Latent:
    """The latent after an operation (LatentApplyOperation)."""
    return replace(latent, samples=operate(operation, latent.samples))


def operate(operation: Change, x: Tensor) -> Tensor:
    """`x` after the operation that the description names."""
    return OPERATIONS[operation.kind](x, operation)


def tonemap_reinhard(x: Tensor, options: Change) -> Tensor:
    """Lengths of channel vectors pressed below a top (LatentOperationTonemapReinhard).

    The top is five deviations above their mean, times `multiplier`. Reinhard et al. 2002, eq. 3.
    """
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10
    mean = length.mean(dim=(1, 2, 3), keepdim=True)
    top = (length.std(dim=(1, 2, 3), keepdim=True) * 5 + mean) * options["multiplier"]
    scaled = length / top
    pressed: Tensor = x / length * (scaled / (scaled + 1) * top)
    return pressed


def sharpen_directions(x: Tensor, options: Change) -> Tensor:
    """Channel vectors with sharpened directions and their own lengths (LatentOperationSharpen)."""
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-6
    radius, sigma, alpha = (options[name] for name in ("radius", "sigma", "alpha"))
    return length * sharpen_channels(x / length, radius, sigma, alpha)


OPERATIONS: Mapping[str, Callable[[Tensor, Change], Tensor]] = {
    "tonemap_reinhard": tonemap_reinhard,
    "sharpen": sharpen_directions,
}
