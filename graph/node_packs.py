"""The custom node pack that a node type comes from."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

COMFYUI = "comfy-core"  # as the editor names it
PATH = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class NodePacks:
    """Well-known packs: by the names of their node types, and by what such names end in."""

    by_name: Mapping[str, str]
    by_ending: Mapping[str, str]


@cache
def node_packs() -> NodePacks:
    """The packs that node_packs.json lists."""
    packs = json.loads(PATH.read_text("utf-8"))
    return NodePacks(
        {name: pack for pack, facts in packs.items() for name in facts.get("names", ())},
        {end: pack for pack, facts in packs.items() for end in facts.get("endings", ())},
    )


def pack_of(class_type: str, said: str, comfyui: Collection[str]) -> str:
    """The pack that a workflow's file says, or that is known to have such a type; "" if unknown.

    `comfyui` are the node types of ComfyUI itself.
    """
    if said:
        return said
    if class_type in comfyui:
        return COMFYUI
    known = node_packs()
    endings = (pack for end, pack in known.by_ending.items() if class_type.endswith(end))
    return known.by_name.get(class_type) or next(endings, "")
