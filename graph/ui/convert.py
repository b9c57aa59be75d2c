"""UI format to a workflow."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from graph.prompt import Workflow


def convert_ui(
    document: Mapping[str, Any],
    node_types: Mapping[str, Any],
    *,
    seed: int = 0,
    now: datetime | None = None,
    max_nodes: int = 5_000,
    max_depth: int = 100,
) -> Workflow:
    """The workflow that ComfyUI's editor would queue for `document`."""
    raise NotImplementedError(document, node_types, seed, now, max_nodes, max_depth)
