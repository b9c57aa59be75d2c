"""Files of ControlNets of Flux: diffusers' layout (InstantX, Shakker), and XLabs'."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.dit.pieces import by_source, named
from diffusion.dit.reading import counted
from diffusion.dit.tokens import PATCH
from diffusion.families.family import ControlSource, without_float16
from diffusion.families.flux.control import FluxControl
from diffusion.families.flux.pieces import pieces
from diffusion.families.flux.shapes import FluxShape
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

HINT = "controlnet_x_embedder.weight"  # in diffusers' layout
HINTS = "input_hint_block."  # of XLabs: pictures as hints, and Black Forest Labs' names
STRIDES = (1, 1, 2, 1, 2, 1, 2, 1)  # of the convolutions that read pictures
MODES = "controlnet_mode_embedder.weight"  # of those for several kinds of hints
LEAVES: Mapping[str, str] = {"weight": "weight", "bias": "bias", "scale": "weight"}


def is_control(weights: Weights) -> bool:
    """Whether a file holds one."""
    return (HINT in weights and "context_embedder.weight" in weights) or _is_xlabs(weights)


def load_control(source: ControlSource) -> FluxControl:
    """The ControlNet of a file. Raises BadModelFile where something is missing."""
    weights, dtype, device = source.weights, without_float16(source.dtype), source.device
    shape = read_control(weights)
    modes = weights.shape(MODES)[0] if MODES in weights else 0
    channels = weights.shape(HINT)[1] if HINT in weights else shape.in_channels * PATCH**2
    with torch.device("meta"):
        module = control_module(shape, channels, modes)
    wanted = {name for name, _ in module.named_parameters()}
    tensors = {
        name: copied(tensor, dtype, device)
        for name, tensor in _read(weights, shape)
        if name in wanted
    }
    fill(module, weights, tensors)
    hints = _hint_reader(weights, dtype, device) if _is_xlabs(weights) else None
    return FluxControl(module, shape, hints)


def _is_xlabs(weights: Weights) -> bool:
    return f"{HINTS}0.weight" in weights and "double_blocks.0.img_attn.qkv.weight" in weights


def read_control(weights: Weights) -> FluxShape:
    """The shape of a ControlNet. Raises BadModelFile where something is missing."""
    own = _is_xlabs(weights)
    first, block = ("img_in", "double_blocks") if own else ("x_embedder", "transformer_blocks")
    norm = "img_attn.norm.query_norm.scale" if own else "attn.norm_q.weight"
    mlp = "img_mlp.0.weight" if own else "ff.net.0.proj.weight"
    text = "txt_in.weight" if own else "context_embedder.weight"
    embedder = "time_text_embed.{}_embedder.linear_1.weight"
    vector, guidance = "vector_in.in_layer.weight", "guidance_in.in_layer.weight"
    try:
        width, channels = weights.shape(f"{first}.weight")
        return FluxShape(
            in_channels=channels // PATCH**2,
            out_channels=channels // PATCH**2,
            width=width,
            mlp=weights.shape(f"{block}.0.{mlp}")[0],
            double=counted(weights, f"{block}.{{}}."),
            single=counted(weights, "single_blocks.{}." if own else f"single_{block}.{{}}."),
            head=weights.shape(f"{block}.0.{norm}")[0],
            context_dim=weights.shape(text)[1],
            y_dim=weights.shape(vector if own else embedder.format("text"))[1],
            guided=(guidance if own else embedder.format("guidance")) in weights,
        )
    except (KeyError, ValueError) as error:
        raise weights.bad(problem=f"its ControlNet is incomplete: {error}") from error


def control_module(shape: FluxShape, hint_channels: int, modes: int = 0) -> Any:
    """Flux's blocks, each with what it says to the model; named as diffusers names them."""
    from diffusers.models.transformers.transformer_flux import (  # noqa: PLC0415 - takes seconds
        FluxTransformer2DModel,
    )

    width = shape.width
    module: Any = FluxTransformer2DModel(**shape.config())
    del module.norm_out, module.proj_out
    module.controlnet_x_embedder = nn.Linear(hint_channels, width)
    blocks = {"controlnet_blocks": shape.double, "controlnet_single_blocks": shape.single}
    for name, count in blocks.items():
        setattr(module, name, nn.ModuleList(nn.Linear(width, width) for _ in range(count)))
    if modes:
        module.controlnet_mode_embedder = nn.Embedding(modes, width)
    return module


def _read(weights: Weights, shape: FluxShape) -> Iterator[tuple[str, Tensor]]:
    """diffusers' name and the tensor, of all that the file has names for."""
    if not _is_xlabs(weights):
        yield from ((key, weights[key]) for key in weights)
        return
    beside = {"controlnet_x_embedder": "pos_embed_input"}
    blocks = counted(weights, "controlnet_blocks.{}.")
    beside |= {f"controlnet_blocks.{i}": f"controlnet_blocks.{i}" for i in range(blocks)}
    sources = by_source((*pieces(shape), *named(beside)))
    for key in weights:
        layer, _, leaf = key.rpartition(".")
        for piece in sources.get(layer, ()):
            if leaf in LEAVES:
                yield f"{piece.module}.{LEAVES[leaf]}", piece.of(weights[key])


def _hint_reader(weights: Weights, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Convolutions that bring a picture to a latent's size."""
    part = weights.under(HINTS)
    layers: list[nn.Module] = []
    with torch.device("meta"):
        for number, stride in enumerate(STRIDES):
            key = f"{2 * number}.weight"
            if key not in part:
                raise weights.bad(problem=f"the tensor {HINTS}{key} is missing")
            out, into, *_ = part.shape(key)
            layers += [nn.Conv2d(into, out, 3, padding=1, stride=stride), nn.SiLU()]
        reader = nn.Sequential(*layers[:-1])
    fill(reader, part, {key: copied(part[key], dtype, device) for key in part})
    return reader
