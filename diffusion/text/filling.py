"""Fills text networks from files: matrices stay packed, all else is widened."""

import math
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn

from diffusion.networks.filling import copied, fill, kept
from diffusion.networks.packed_layers import linear_layers, plain
from diffusion.packing.packed import Packed
from diffusion.weights import Weights


def fill_narrow(
    module: nn.Module,
    part: Weights,
    dtype: torch.dtype,
    device: torch.device,
    *,
    tables: Collection[str] = (),
    keys: Mapping[str, str] | None = None,
    wide: torch.dtype = torch.float32,
    reshaped: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> None:
    """Give `module` the tensors of `part`, which are named alike, or by `keys`: ours to the file's.

    The weights of linear layers and `tables` take at most `dtype`'s bytes, all else is `wide`.
    Linear layers whose weights have more axes in files get them `reshaped`.

    Raises:
        BadModelFile: parameters are missing, or have other shapes.
    """
    layers = {f"{name}.weight" for name in linear_layers(module)} | set(tables)
    wanted = {name for name, _ in module.named_parameters()}
    tensors: dict[str, Tensor] = {}
    packed: dict[str, Packed] = {}
    for name, key in ({name: name for name in part} if keys is None else keys).items():
        if name not in wanted:
            continue
        if name in layers and part.is_packed(key) and len(part.shape(key)) == 2:
            packed[name] = kept(part.packed(key), device)
            continue
        tensor = part[key]
        if name not in layers:
            tensors[name] = copied(tensor, wide, device)
            continue
        if tensor.ndim > 2:
            tensor = reshaped(tensor)
        own = min(tensor.dtype, dtype, key=lambda one: one.itemsize)
        if own == wide:
            tensors[name] = copied(tensor, own, device)
        else:
            packed[name] = plain(copied(tensor, own, device))
    fill(module, part, tensors, packed)


def narrow_bytes(part: Weights, dtype: torch.dtype, *, without: str | None = None) -> int:
    """About what its tensors take so: packed ones stay so, others have at most `dtype`'s bytes.

    Those whose names start with `without` are not loaded.
    """
    return sum(
        entry.size
        if entry.packed_bytes is not None or (entry.dtype or dtype).itemsize <= dtype.itemsize
        else math.prod(entry.shape) * dtype.itemsize
        for key, entry in part.entries.items()
        if without is None or not key.startswith(without)
    )
