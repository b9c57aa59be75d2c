"""ControlNets of transformers from files: diffusers' layout (InstantX, Shakker), and XLabs'."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.dit.control import LoadedDitControl
from diffusion.dit.pieces import Piece, pieces
from diffusion.dit.shapes import (
    PATCH,
    DitShape,
    FluxShape,
    Sd3Shape,
    counted,
)
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

FLUX = "controlnet_x_embedder.weight"  # diffusers' layout of Flux
SD3 = "pos_embed_input.proj.weight"  # diffusers' layout of Stable Diffusion 3
HINTS = "input_hint_block."  # of XLabs: pictures as hints, and Black Forest Labs' names
STRIDES = (1, 1, 2, 1, 2, 1, 2, 1)  # of the convolutions that read pictures
MODES = "controlnet_mode_embedder.weight"  # of those for several kinds of hints
LEAVES: Mapping[str, str] = {"weight": "weight", "bias": "bias", "scale": "weight"}


def load_dit_control(
    weights: Weights, *, dtype: torch.dtype, device: torch.device
) -> LoadedDitControl | None:
    """The ControlNet of a file; None where it is none for transformers of these families.

    Raises:
        BadModelFile: it is incomplete, or of a kind that is not known.
    """
    if SD3 in weights and "transformer_blocks.0.attn.add_q_proj.weight" in weights:
        return _loaded(weights, read_sd3_control(weights), dtype, device)
    if FLUX in weights or _is_xlabs(weights):
        return _loaded(weights, read_flux_control(weights), dtype, device)
    return None


def _is_xlabs(weights: Weights) -> bool:
    return f"{HINTS}0.weight" in weights and "double_blocks.0.img_attn.qkv.weight" in weights


def read_sd3_control(weights: Weights) -> Sd3Shape:
    """Raises BadModelFile where something is missing."""
    try:
        width, channels, *_ = weights.shape("pos_embed.proj.weight")
        return Sd3Shape(
            in_channels=channels,
            out_channels=channels,
            width=width,
            depth=counted(weights, "transformer_blocks.{}."),
            context_dim=weights.shape("context_embedder.weight")[1],
            y_dim=weights.shape("time_text_embed.text_embedder.linear_1.weight")[1],
            positions=math.isqrt(weights.shape("pos_embed.pos_embed")[1]),
            dual=(),
            qk_norm="transformer_blocks.0.attn.norm_q.weight" in weights,
        )
    except (KeyError, ValueError) as error:
        raise weights.bad(problem=f"its ControlNet is incomplete: {error}") from error


def read_flux_control(weights: Weights) -> FluxShape:
    """Raises BadModelFile where something is missing."""
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


def _loaded(
    weights: Weights, shape: DitShape, dtype: torch.dtype, device: torch.device
) -> LoadedDitControl:
    if isinstance(shape, FluxShape) and dtype == torch.float16:
        dtype = torch.bfloat16  # as for Flux itself
    module = _empty(weights, shape)
    wanted = {name for name, _ in module.named_parameters()}
    tensors = {
        name: copied(tensor, dtype, device)
        for name, tensor in _read(weights, shape)
        if name in wanted
    }
    fill(module, weights, tensors)
    if isinstance(shape, Sd3Shape):
        table = copied(weights["pos_embed.pos_embed"], dtype, device)
        module.pos_embed.register_buffer("pos_embed", table)
    hints = _hint_reader(weights, dtype, device) if _is_xlabs(weights) else None
    return LoadedDitControl(module, shape, hints)


def _empty(weights: Weights, shape: DitShape) -> Any:
    from diffusers.models.controlnets import controlnet_sd3  # noqa: PLC0415 - takes seconds

    with torch.device("meta"):
        if isinstance(shape, Sd3Shape):
            extra = weights.shape(SD3)[1] - shape.in_channels
            sd3: Any = controlnet_sd3.SD3ControlNetModel
            return sd3(**shape.config(), extra_conditioning_channels=extra)
        modes = weights.shape(MODES)[0] if MODES in weights else 0
        channels = weights.shape(FLUX)[1] if FLUX in weights else shape.in_channels * PATCH**2
        return flux_control_module(shape, channels, modes)


def flux_control_module(shape: FluxShape, hint_channels: int, modes: int = 0) -> Any:
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


def _read(weights: Weights, shape: DitShape) -> Iterator[tuple[str, Tensor]]:
    """diffusers' name and the tensor, of all that the file has names for."""
    if not _is_xlabs(weights):
        yield from ((key, weights[key]) for key in weights)
        return
    by_source: dict[str, list[Piece]] = {}
    beside = {"controlnet_x_embedder": "pos_embed_input"}
    blocks = counted(weights, "controlnet_blocks.{}.")
    beside |= {f"controlnet_blocks.{i}": f"controlnet_blocks.{i}" for i in range(blocks)}
    for piece in (*pieces(shape), *(Piece(ours, theirs) for ours, theirs in beside.items())):
        by_source.setdefault(piece.source, []).append(piece)
    for key in weights:
        layer, _, leaf = key.rpartition(".")
        for piece in by_source.get(layer, ()):
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
