"""Node types, one file for each subject. New files here are found automatically."""

import importlib
import pkgutil

from graph.node import NodeType, declared_in


def load_node_types() -> dict[str, NodeType]:
    """Every node type of this package, by ComfyUI's name."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return declared_in(*(importlib.import_module(f"{__name__}.{name}") for name in names))
