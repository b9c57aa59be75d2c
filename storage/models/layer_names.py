"""The layers of a U-Net by the names that LoRAs may call them, and the layers a LoRA changes.

A checkpoint numbers blocks as LDM does, kohya and diffusers number them by level. The names here
are those of diffusion/lora/keys.py, made from a header alone.
"""

import re
from collections.abc import Iterator, Mapping

from graph.model_files.header import Entry
from graph.recognition import lora_layer

MOST_CHANGED = 256  # layers of a LoRA that are remembered; of one with more, none
FOR_TEXT = re.compile(r"^(lora_(prior_)?te|text_encoder|(base_model\.model\.)?text_model)")
LDM = re.compile(r"^(?:.*\.)?((?:input|output)_blocks|middle_block)\.(\d+)\.(?:(\d+)\.)?(.+)$")
OUTSIDE: Mapping[str, str] = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
IN_RESNET: Mapping[str, str] = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
FIRST = "input_blocks.0.0"
NETWORKS = ("model.diffusion_model.", "diffusion_model.", "unet.", "")


def unet_layers(tensors: Mapping[str, Entry]) -> frozenset[str]:
    """Every name that a LoRA may call a layer of an LDM U-Net; empty where there is no such."""
    start = next((start for start in NETWORKS if f"{start}{FIRST}.weight" in tensors), None)
    if start is None:
        return frozenset()
    layers = {
        name.removeprefix(start).removesuffix(".weight")
        for name in tensors
        if name.startswith(start) and name.endswith(".weight")
    }
    blocks = dict(_blocks(layers))
    return frozenset(
        alias for layer in layers for name in (layer, *_renamed(layer, blocks))
        for alias in _aliases(name)
    )  # fmt: skip


def changed_layers(tensors: Mapping[str, Entry]) -> frozenset[str]:
    """The layers of a diffusion model that a small LoRA changes, as it calls them."""
    layers = {_flat(lora_layer(name)) for name in tensors if not FOR_TEXT.match(name)}
    return frozenset(layers if len(layers) <= MOST_CHANGED else ())


def _blocks(layers: set[str]) -> Iterator[tuple[str, str]]:
    """LDM's name of each part of a block, and diffusers'."""
    yield FIRST, "conv_in"
    yield "middle_block.0", "mid_block.resnets.0"
    attends = any(layer.startswith("middle_block.1.transformer_blocks.") for layer in layers)
    yield "middle_block.1", "mid_block.attentions.0" if attends else "mid_block.resnets.1"
    yield "middle_block.2", "mid_block.resnets.1"
    level, resnet = 0, 0
    for block in _numbered(layers, "input_blocks"):
        if f"{block}.0.op" in layers:
            yield f"{block}.0.op", f"down_blocks.{level}.downsamplers.0.conv"
            level, resnet = level + 1, 0
        elif block != "input_blocks.0":
            yield f"{block}.0", f"down_blocks.{level}.resnets.{resnet}"
            yield f"{block}.1", f"down_blocks.{level}.attentions.{resnet}"
            resnet += 1
    level, resnet = 0, 0
    for block in _numbered(layers, "output_blocks"):
        widens = next((part for part in (1, 2) if f"{block}.{part}.conv" in layers), None)
        yield f"{block}.0", f"up_blocks.{level}.resnets.{resnet}"
        if widens != 1:
            yield f"{block}.1", f"up_blocks.{level}.attentions.{resnet}"
        resnet += 1
        if widens is not None:
            yield f"{block}.{widens}.conv", f"up_blocks.{level}.upsamplers.0.conv"
            level, resnet = level + 1, 0


def _numbered(layers: set[str], side: str) -> list[str]:
    found = {int(match[2]) for layer in layers if (match := LDM.match(layer)) and match[1] == side}
    return [f"{side}.{number}" for number in sorted(found)]


def _renamed(layer: str, blocks: Mapping[str, str]) -> Iterator[str]:
    """What diffusers calls a layer."""
    if layer in OUTSIDE:
        yield OUTSIDE[layer]
    start, rest = layer, ""
    while start and start not in blocks:
        start, _, last = start.rpartition(".")
        rest = f".{last}{rest}"
    if start:
        inner = rest.removeprefix(".")
        yield blocks[start] + (f".{IN_RESNET.get(inner, inner)}" if inner else "")


def _aliases(name: str) -> Iterator[str]:
    flat = _flat(name)
    yield flat
    if "_to_out_0" in flat:
        yield flat.removesuffix("_0")
    if "add_embedding_" in flat:
        yield flat.replace("add_embedding_", "class_embedding_")


def _flat(name: str) -> str:
    """A name as kohya writes it, and without diffusers' former attention processors."""
    return name.replace(".", "_").replace("_processor_", "_")
