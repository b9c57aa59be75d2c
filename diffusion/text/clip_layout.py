"""Locates CLIP text encoders in files, and maps their tensor names."""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.networks.filling import copied
from diffusion.text.clip_network import ClipShape
from diffusion.weights import Weights

PartName: TypeAlias = str  # "l", "g" and "h" are CLIPs, "t5xxl" is T5

# Each may hold one encoder. SD 1.x and 2.x; SDXL and its refiner; what ComfyUI saves; bare files.
PREFIXES = (
    "cond_stage_model.transformer.",
    "cond_stage_model.model.",
    "conditioner.embedders.0.transformer.",
    "conditioner.embedders.0.model.",
    "conditioner.embedders.1.model.",
    "text_encoders.clip_l.transformer.",
    "text_encoders.clip_g.transformer.",
    "clip_l.transformer.",
    "clip_g.transformer.",
    "clip_h.transformer.",
    "",
)
BY_WIDTH: Mapping[int, PartName] = {768: "l", 1024: "h", 1280: "g"}
HEAD_WIDTH = 64

# The token table's name tells the layout: transformers', that without its outer name, OpenCLIP's.
TRANSFORMERS = "text_model.embeddings.token_embedding.weight"
BARE = "embeddings.token_embedding.weight"
OPEN_CLIP = "token_embedding.weight"

AROUND: Mapping[str, str] = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
LAYER: Mapping[str, str] = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def find_parts(weights: Weights) -> dict[PartName, Weights]:
    """The CLIP text encoders in a file by their kind, named without prefix.

    Raises:
        BadModelFile: one is of a width that no known CLIP has.
    """
    found: dict[PartName, Weights] = {}
    for prefix in PREFIXES:
        part = weights.under(prefix)
        table = _table(part)
        if table is None:
            continue
        width = part.shape(table)[-1]
        name = _kind(width)
        if name is None:
            raise weights.bad(problem=f"its text encoder has width {width}, which no CLIP has")
        found.setdefault(name, part)
    return found


def is_slim(width: int) -> bool:
    """Whether a CLIP is narrower than those in public models; such a one is read as CLIP-L is."""
    return width < min(BY_WIDTH) and width % HEAD_WIDTH == 0


def _kind(width: int) -> PartName | None:
    return "l" if is_slim(width) else BY_WIDTH.get(width)


def _table(part: Weights) -> str | None:
    return next((key for key in (TRANSFORMERS, BARE, OPEN_CLIP) if key in part), None)


def read_shape(part: Weights) -> ClipShape:
    """How large the text encoder in `part` is.

    Raises:
        BadModelFile: the encoder is incomplete.
    """
    openclip = _table(part) == OPEN_CLIP
    nest = "text_model." if TRANSFORMERS in part else ""
    layer = "transformer.resblocks." if openclip else nest + "encoder.layers."
    inner = "0.mlp.c_fc.weight" if openclip else "0.mlp.fc1.weight"
    positions = (
        "positional_embedding" if openclip else nest + "embeddings.position_embedding.weight"
    )
    try:
        vocabulary, width = part.shape(_table(part) or "")
        return ClipShape(
            vocabulary=vocabulary,
            width=width,
            inner=part.shape(layer + inner)[0],
            layers=len({_index(key, layer) for key in part if key.startswith(layer)}),
            heads=width // HEAD_WIDTH,
            length=part.shape(positions)[0],
            activation="quick_gelu" if _kind(width) == "l" else "gelu",
        )
    except KeyError as error:
        raise part.bad(problem=f"its text encoder is incomplete: {error}") from error


def _index(key: str, before: str) -> str:
    return key.removeprefix(before).partition(".")[0]


def tensors_of(part: Weights, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """Every tensor under its name in `ClipText`, which is transformers', copied off the file.

    A file without a text projection gets one that changes nothing.
    """
    tensors = {
        name: copied(tensor, dtype, device)
        for key in part
        for name, tensor in _renamed(part, key).items()
    }
    if "text_projection.weight" not in tensors:
        width = tensors[TRANSFORMERS].shape[1]
        tensors["text_projection.weight"] = torch.eye(width, dtype=dtype, device=device)
    return tensors


def _renamed(part: Weights, key: str) -> dict[str, Tensor]:
    """What transformers calls the tensor `key`, or the three it makes of one."""
    if key == "text_projection":  # OpenCLIP multiplies from the other side
        return {"text_projection.weight": part[key].T}
    if key == "text_projection.weight" or key.startswith("text_model."):
        return {key: part[key]}
    if BARE in part:
        return {"text_model." + key: part[key]}
    if key in AROUND:
        return {AROUND[key]: part[key]}
    if key.startswith("transformer.resblocks."):
        return layer_tensors(part, key, "text_model.encoder.layers.")
    return {}


def layer_tensors(part: Weights, key: str, layers: str) -> dict[str, Tensor]:
    """What transformers, whose `layers` these are, makes of a tensor of one of OpenCLIP's."""
    index, _, rest = key.removeprefix("transformer.resblocks.").partition(".")
    name = f"{layers}{index}."
    if rest.startswith("attn.in_proj_"):
        kind = rest.removeprefix("attn.in_proj_")
        thirds = part[key].chunk(3)
        return {f"{name}self_attn.{c}_proj.{kind}": t for c, t in zip("qkv", thirds, strict=True)}
    module, _, kind = rest.rpartition(".")
    return {f"{name}{LAYER[module]}.{kind}": part[key]} if module in LAYER else {}
