"""Facts about the node types of ComfyUI core, in /object_info's format.

They let a UI file be read although it uses nodes that this service does not run: the names and the
order of their widgets, nothing of their code. Types that it does run are as in ComfyUI 0.3.64,
which it follows; the others as in 0.33.0, and as in 0.3.64 where that has no more of them. File
lists in it are empty.
"""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_suffix(".json.gz")


def load_comfyui_nodes() -> Mapping[str, Any]:
    """Node types by class name. It takes some 10 ms; whoever needs them often keeps them."""
    facts = json.loads(gzip.decompress(PATH.read_bytes()))
    assert isinstance(facts, dict)
    return facts
