"""Narrow ControlNets of transformers, of random weights in the layouts of published files."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diffusion.families.flux.control_files import control_module
from tests.diffusion.dit_files import DEV, SD3, reference_layout
from tests.diffusion.model_files import seeded

FEW = replace(DEV, single=1)
NO_SINGLE = replace(DEV, single=0)
SD3_FEW = replace(SD3, depth=2)
STRIDES = (1, 1, 2, 1, 2, 1, 2, 1)


def drawn(module: Any) -> Any:
    """A module with weights drawn from their names."""
    module.eval().requires_grad_(requires_grad=False)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(seeded(name, tuple(parameter.shape)))
    return module


def flux_module(modes: int = 0, *, single: int = 1) -> Any:
    return drawn(control_module(replace(DEV, single=single), 64, modes))


def flux_tensors(modes: int = 0) -> dict[str, Tensor]:
    """As InstantX and Shakker store one, with `modes` a union."""
    return {key: tensor.clone() for key, tensor in flux_module(modes).state_dict().items()}


def sd3_tensors() -> dict[str, Tensor]:
    """As InstantX stores one."""
    from diffusers import SD3ControlNetModel  # noqa: PLC0415

    config = SD3_FEW.config()
    kind: Any = SD3ControlNetModel
    module = drawn(kind(**config))
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def xlabs_tensors() -> dict[str, Tensor]:
    module = flux_module(single=0)
    tensors = reference_layout(module, NO_SINGLE)
    for key, tensor in module.state_dict().items():
        if key.startswith("controlnet_blocks."):
            tensors[key] = tensor.clone()
        if key.startswith("controlnet_x_embedder."):
            tensors[key.replace("controlnet_x_embedder", "pos_embed_input")] = tensor.clone()
    for number in range(len(STRIDES)):
        name = f"input_hint_block.{2 * number}"
        tensors[f"{name}.weight"] = seeded(f"{name}.weight", (16, 3 if number == 0 else 16, 3, 3))
        tensors[f"{name}.bias"] = seeded(f"{name}.bias", (16,))
    return {key: tensor.contiguous() for key, tensor in tensors.items()}
