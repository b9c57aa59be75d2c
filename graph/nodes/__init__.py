"""Node types, one file per family, in `packs` one per pack. A new file is found by itself."""

import importlib
import pkgutil

from graph.node import NodeType, declared_in


def load_node_types() -> dict[str, NodeType]:
    """Every node type of this package, by ComfyUI's name."""
    found = pkgutil.walk_packages(__path__, f"{__name__}.")
    return declared_in(*(importlib.import_module(name) for name in sorted(it.name for it in found)))
