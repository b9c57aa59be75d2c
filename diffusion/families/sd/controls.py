"""The kinds of files that control U-Nets."""

from torch import Tensor

from diffusion.batch.controls import LoadedControl
from diffusion.families.family import FOR_UNETS, ControlKind, ControlSource
from diffusion.families.sd.controlnet_files import (
    is_control_lora,
    is_control_net,
    is_difference,
    load_control_lora,
    load_control_net,
)
from diffusion.families.sd.shapes import UnetShape, diffusers_keys, find_unet
from diffusion.families.sd.t2i_adapter import is_adapter, load_adapter


def _control_lora(source: ControlSource) -> LoadedControl:
    model, weights = source.model, source.weights
    if not isinstance(model.shape, UnetShape):
        raise weights.bad(problem=FOR_UNETS)
    base = dict(model.module.named_parameters())
    return load_control_lora(weights, base, model.shape, dtype=source.dtype, device=source.device)


def _control_net(source: ControlSource) -> LoadedControl:
    differs = source.base is not None and is_difference(source.weights)
    return load_control_net(
        source.weights,
        base=_base(source) if differs else None,
        dtype=source.dtype,
        device=source.device,
    )


def _base(source: ControlSource) -> dict[str, Tensor]:
    """The weights of a file's U-Net, under diffusers' names."""
    assert source.base is not None
    part, shape = find_unet(source.base())
    return {name: part[key] for name, key in diffusers_keys(part, shape).items()}


def _adapter(source: ControlSource) -> LoadedControl:
    return load_adapter(source.weights, dtype=source.dtype, device=source.device)


CONTROLS = (
    ControlKind(is_control_lora, _control_lora, made_of_model=True),
    ControlKind(is_control_net, _control_net),
    ControlKind(is_adapter, _adapter),
)
