"""Text networks filled from files: matrices stay as narrow as they are stored, all else is wide."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from diffusion.networks.filling import copied, fill
from diffusion.networks.float8 import SCALES, keep_narrow, linear_layers
from diffusion.weights import Weights


def fill_narrow(
    module: nn.Module,
    part: Weights,
    dtype: torch.dtype,
    device: torch.device,
    *,
    tables: Collection[str] = (),
    reshaped: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> None:
    """Give `module` the tensors of `part`, which are named alike.

    The weights of linear layers, and `tables`, take at most `dtype`'s bytes. Linear layers whose
    weights have more axes in files get them `reshaped`.

    Raises:
        BadModelFile: parameters are missing, or have other shapes.
    """
    linear = linear_layers(module)
    tensors, narrow = {}, {}
    for name in {name for name, _ in module.named_parameters()} & set(part):
        layer, _, leaf = name.rpartition(".")
        tensor, kept = part[name], torch.float32
        if (leaf == "weight" and layer in linear) or name in tables:
            kept = min(tensor.dtype, dtype, key=lambda one: one.itemsize)
        if layer in linear and tensor.ndim > 2:
            tensor = reshaped(tensor)
        tensors[name] = copied(tensor, kept, device)
        if kept != torch.float32 and leaf == "weight" and layer in linear:
            narrow[layer] = _scale(part, layer, device)
    keep_narrow(module, narrow)
    fill(module, part, tensors)


def _scale(part: Weights, layer: str, device: torch.device) -> Tensor | None:
    found = next((key for leaf in SCALES if (key := f"{layer}.{leaf}") in part), None)
    if found is None:
        return None
    scale = part[found].float()
    scale = scale.reshape(()) if scale.numel() == 1 else scale.reshape(-1, 1)
    return copied(scale, torch.float32, device)
