"""Builds modules without memory and fills them with a file's tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from diffusion.networks.packed_layers import pack_layer
from diffusion.packing.packed import Packed
from diffusion.weights import Weights

NOTHING: Mapping[str, Packed] = {}


def fill(
    module: nn.Module,
    weights: Weights,
    tensors: Mapping[str, Tensor],
    packed: Mapping[str, Packed] = NOTHING,
) -> None:
    """Give `module`, built on the meta device, all its parameters; frozen and in eval mode.

    `packed` are weights of linear layers, or tables, which stay so.

    Raises:
        BadModelFile: parameters are missing, or have other shapes.
    """
    parameters = {name: value.shape for name, value in module.named_parameters()}
    missing = [name for name in parameters if name not in tensors and name not in packed]
    if missing:
        raise weights.bad(
            problem=f"{len(missing)} tensors are missing, the first for {missing[0]!r}"
        )
    for name, shape in parameters.items():
        found = tuple((packed[name] if name in packed else tensors[name]).shape)
        if found != shape:
            raise weights.bad(problem=f"the tensor for {name!r} is {found}, not {tuple(shape)}")
    for name in parameters.keys() & packed.keys():
        pack_layer(module, name.removesuffix(".weight"), packed[name])
    given = {name: tensors[name] for name in parameters if name not in packed}
    module.load_state_dict(given, strict=False, assign=True)
    module.eval().requires_grad_(requires_grad=False)


def copied(tensor: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A copy off the file, so that the module outlives whatever becomes of it.

    To a GPU it goes by page-locked memory, which the bus reads while the next one is prepared.
    """
    if device.type == "cuda":
        return tensor.to(dtype).contiguous().pin_memory().to(device, non_blocking=True)
    return tensor.to(device=device, dtype=dtype, copy=True).contiguous()


def kept(packed: Packed, device: torch.device) -> Packed:
    """As `copied`, each tensor in its own precision."""
    return packed.placed(lambda tensor: copied(tensor, tensor.dtype, device))


def size_of(module: nn.Module) -> int:
    """Bytes."""
    return sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
