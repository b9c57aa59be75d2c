"""Files of ControlNets: LDM's layout, diffusers', unions, differences and control-LoRAs.

What a file is follows from the names in it, the network from their shapes.
(ComfyUI comfy/controlnet.py, load_controlnet_state_dict and ControlLora)
"""

from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import PurePath

import torch
from torch import Tensor

from diffusion.families.sd.control_network import ControlNetwork
from diffusion.families.sd.controlnet import LoadedControlNet
from diffusion.families.sd.shapes import (
    DiffusersReader,
    LdmReader,
    UnetShape,
    module_names,
    renamed,
    skip_widths,
)
from diffusion.families.sd.union import read_union_types
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

PREFIXES = ("control_model.", "")
LORA_MARK = "lora_controlnet"
DIFFERENCE_MARK = "difference"
HINT = "controlnet_cond_embedding."
Y_KEYS = (
    "label_emb.0.0.weight",
    "add_embedding.linear_1.weight",
    "class_embedding.linear_1.weight",
)
POOLING = ("_shuffle", "_shuffle_fp16")  # how the names of files end that control by averages


def is_control_lora(weights: Weights) -> bool:
    """Whether a file changes the weights of the U-Net it controls, so needs them."""
    return LORA_MARK in weights


def is_difference(weights: Weights) -> bool:
    """Whether a file holds what is to be added to the weights of a U-Net."""
    return DIFFERENCE_MARK in weights and "control_model.zero_convs.0.0.weight" in weights


def find_control_net(weights: Weights) -> Weights | None:
    """The part of a file that is a ControlNet, named without prefix."""
    parts = (weights.under(prefix) for prefix in PREFIXES)
    marks = ("zero_convs.0.0.weight", HINT + "conv_in.weight")
    return next((part for part in parts if any(mark in part for mark in marks)), None)


def is_control_net(weights: Weights) -> bool:
    """Whether a file holds a ControlNet for U-Nets."""
    return find_control_net(weights) is not None


def load_control_net(
    weights: Weights,
    *,
    dtype: torch.dtype,
    device: torch.device,
    base: Mapping[str, Tensor] | None = None,
) -> LoadedControlNet:
    """The ControlNet of a file that holds one.

    `base` are the weights of a U-Net under diffusers' names, for files that hold differences.

    Raises:
        BadModelFile: it is damaged, or differs from a base that is not given.
    """
    part = find_control_net(weights)
    assert part is not None
    shape = _read_shape(part)
    keys = _keys(part, shape)
    tensors = {name: part[key] for name, key in keys.items()}
    if is_difference(weights):
        if base is None:
            problem = "it holds differences to a model: load it with DiffControlNetLoader"
            raise weights.bad(problem=problem)
        tensors = {
            name: tensor.float() + base[name].float().cpu() if name in base else tensor
            for name, tensor in tensors.items()
        }
    union = read_union_types(part, dtype=dtype, device=device)
    module = _module(part, shape, tensors, dtype=dtype, device=device)
    return LoadedControlNet(module, shape, union=union, pools=_pools(weights))


def load_control_lora(
    weights: Weights,
    base: Mapping[str, Tensor],
    shape: UnetShape,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> LoadedControlNet:
    """A ControlNet that is the encoder of a U-Net, `base`, under the changes of a file.

    Raises:
        BadModelFile: it is damaged, or made for another kind of U-Net.
    """
    found = renamed(weights, _control_names(weights, shape))
    tensors = {name: weights[key] for name, key in found.items() if not _is_factor(name)}
    for name, tensor in base.items():
        stem = name.removesuffix(".weight")
        if name not in tensors and stem + ".up" in found:
            up, down = (weights[found[stem + end]].float().flatten(1) for end in (".up", ".down"))
            tensors[name] = _product(weights, name, up, down, tensor)
        else:
            tensors.setdefault(name, tensor)
    module = _module(weights, shape, tensors, dtype=dtype, device=device)
    return LoadedControlNet(module, shape, pools=_pools(weights))


def _product(weights: Weights, name: str, up: Tensor, down: Tensor, base: Tensor) -> Tensor:
    if up.shape[1] != down.shape[0] or (up.shape[0] * down.shape[1]) != base.numel():
        found = f"{tuple(up.shape)} times {tuple(down.shape)}"
        raise weights.bad(problem=f"the change to {name!r} is {found}, of {tuple(base.shape)}")
    return base.float().cpu() + (up @ down).reshape(base.shape)


def _is_factor(name: str) -> bool:
    return name.endswith((".up", ".down"))


def _pools(weights: Weights) -> bool:
    return PurePath(weights.file.name).stem.endswith(POOLING)


def _read_shape(part: Weights) -> UnetShape:
    """The U-Net whose encoder this is, as far as its encoder says."""
    reader: LdmReader | DiffusersReader = DiffusersReader(part)
    first = "conv_in.weight"
    if "input_blocks.0.0.weight" in part:
        reader, first = LdmReader(part), "input_blocks.0.0.weight"
    y_key = next((key for key in Y_KEYS if key in part), None)
    try:
        context_dim, linear = reader.context() if _has_attention(part) else (0, True)
        shape = UnetShape(
            in_channels=reader.width(first, 1),
            out_channels=reader.width(first, 1),
            context_dim=context_dim,
            y_dim=reader.width(y_key, 1) if y_key else None,
            linear=linear,
            levels=reader.levels(),
            mid=reader.mid(),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise part.bad(problem=f"its ControlNet is incomplete: {error}") from error
    if shape.mid is None:
        raise part.bad(problem="its ControlNet has no middle block")
    return shape


def _has_attention(part: Weights) -> bool:
    return any(key.endswith("attn2.to_k.weight") for key in part)


def _keys(part: Weights, shape: UnetShape) -> dict[str, str]:
    """diffusers' key -> the key in `part`."""
    if "conv_in.weight" in part:
        start = "add_embedding."
        return {
            ("class_embedding." + key.removeprefix(start) if key.startswith(start) else key): key
            for key in part
        }
    return renamed(part, _control_names(part, shape))


def _control_names(weights: Weights, shape: UnetShape) -> dict[str, str]:
    """LDM's name of a module -> diffusers' name of it."""
    convs = len(_hint_widths(weights, "input_hint_block.{}.weight", 2))
    blocks = (f"blocks.{index}" for index in range(max(0, convs - 2)))
    hints = {f"input_hint_block.{2 * i}": HINT + n for i, n in enumerate(("conv_in", *blocks))}
    skips = range(len(skip_widths(shape)))
    return {
        **module_names(shape),
        **hints,
        f"input_hint_block.{2 * (convs - 1)}": HINT + "conv_out",
        **{f"zero_convs.{index}.0": f"controlnet_down_blocks.{index}" for index in skips},
        "middle_block_out.0": "controlnet_mid_block",
    }


def _hint_widths(weights: Weights, pattern: str, step: int) -> list[int]:
    """What the convolutions of a row that lie `step` apart give, until there are no more."""
    keys = takewhile(lambda key: key in weights, (pattern.format(i) for i in count(0, step)))
    return [weights.shape(key)[0] for key in keys]


def _module(
    part: Weights,
    shape: UnetShape,
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> ControlNetwork:
    with torch.device("meta"):
        module = ControlNetwork(shape, *_hint_shape(part, tensors))
    wanted = dict(module.named_parameters())
    placed = {n: copied(t, dtype, device) for n, t in tensors.items() if n in wanted}
    fill(module, part, placed)
    return module


def _hint_shape(part: Weights, tensors: Mapping[str, Tensor]) -> tuple[int, list[int]]:
    """Channels of hints, and the widths of what reads them."""
    hint = tensors.get(HINT + "conv_in.weight")
    if hint is None or hint.ndim != 4:
        raise part.bad(problem="its ControlNet has no convolution that reads hints")
    widths = (f"{HINT}blocks.{index}.weight" for index in count(1, 2))
    deeper = takewhile(lambda name: name in tensors, widths)
    return hint.shape[1], [hint.shape[0], *(tensors[name].shape[0] for name in deeper)]
