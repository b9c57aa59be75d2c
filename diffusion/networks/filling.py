"""Modules that are built without memory and then given the tensors of a file."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from diffusion.weights import Weights


def fill(module: nn.Module, weights: Weights, tensors: Mapping[str, Tensor]) -> None:
    """Give `module`, built on the meta device, all its parameters; frozen and in eval mode.

    Raises:
        BadModelFile: parameters are missing, or have other shapes.
    """
    parameters = {name: value.shape for name, value in module.named_parameters()}
    missing = [name for name in parameters if name not in tensors]
    if missing:
        raise weights.bad(
            problem=f"{len(missing)} tensors are missing, the first for {missing[0]!r}"
        )
    for name, shape in parameters.items():
        if tensors[name].shape != shape:
            found = tuple(tensors[name].shape)
            raise weights.bad(problem=f"the tensor for {name!r} is {found}, not {tuple(shape)}")
    module.load_state_dict({name: tensors[name] for name in parameters}, strict=False, assign=True)
    module.eval().requires_grad_(requires_grad=False)


def copied(tensor: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A copy off the file, so that the module outlives whatever becomes of it.

    To a GPU it goes by page-locked memory, which the bus reads while the next one is prepared.
    """
    if device.type == "cuda":
        return tensor.to(dtype).contiguous().pin_memory().to(device, non_blocking=True)
    return tensor.to(device=device, dtype=dtype, copy=True).contiguous()
