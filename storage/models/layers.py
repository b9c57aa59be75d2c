"""The layers of transformers in U-Nets, by what all files call them, and their shapes.

LDM, diffusers and kohya number blocks in ways of their own; within a block the names are the same.
So a LoRA, a ControlNet or an IP-Adapter can be held to a base model by its layers' shapes alone.
"""

import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from graph.model_files.header import Entry
from graph.recognition import lora_pairs

Shape: TypeAlias = tuple[int, int]  # out, into
Layers: TypeAlias = Mapping[str, frozenset[Shape]]

LAYER = re.compile(
    r"(?P<block>attn[12]|ff)[._](processor[._])?"
    r"(?P<layer>to_[qkv]|to_out([._]0)?|net[._]0[._]proj|net[._]2)(_lora)?[._]"
)
PICTURE = re.compile(r"(?P<layer>to_[kv])_ip\.weight$")


def layers_of(tensors: Mapping[str, Entry], kind: str) -> Layers:
    """Of what a file of this kind holds: the shapes of layers, or of what changes them."""
    of_kind = {"lora": _changed, "ip_adapter": _pictured, "controlnet": _own}
    of_kind |= {"checkpoint": _own, "diffusion_model": _own}
    found: dict[str, set[Shape]] = {}
    for name, shape in of_kind[kind](tensors) if kind in of_kind else ():
        found.setdefault(name, set()).add(shape)
    return MappingProxyType({name: frozenset(shapes) for name, shapes in found.items()})


def pairs(tensors: Mapping[str, Entry]) -> Iterator[tuple[str, Entry, Entry]]:
    """The low-rank changes of a LoRA: the name of one half, it and the other."""
    for up, down in lora_pairs(tensors):
        yield up, tensors[up], tensors[down]


def _own(tensors: Mapping[str, Entry]) -> Iterator[tuple[str, Shape]]:
    for name, entry in tensors.items():
        layer = _layer(name) if name.endswith(".weight") else None
        if layer and len(entry.shape) > 1:
            yield layer, _flat(entry)


def _changed(tensors: Mapping[str, Entry]) -> Iterator[tuple[str, Shape]]:
    for name, up, down in pairs(tensors):
        layer = _layer(name)
        if layer and len(up.shape) > 1 and len(down.shape) > 1:
            yield layer, (up.shape[0], _flat(down)[1])


def _pictured(tensors: Mapping[str, Entry]) -> Iterator[tuple[str, Shape]]:
    for name, entry in tensors.items():
        if (found := PICTURE.search(name)) and len(entry.shape) > 1:
            yield f"attn2.{found['layer']}", _flat(entry)


def _layer(name: str) -> str | None:
    found = LAYER.search(name)
    if found is None:
        return None
    layer = found["layer"].replace("net_", "net.").replace("0_proj", "0.proj")
    return f"{found['block']}.{'to_out' if layer.startswith('to_out') else layer}"


def _flat(entry: Entry) -> Shape:
    return entry.shape[0], math.prod(entry.shape[1:])
