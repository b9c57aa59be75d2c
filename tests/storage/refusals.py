"""How model files that were made to hurt are refused, by the reader and by loading."""

import io
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.weights import open_weights
from graph.errors import PROBLEM_CHARS, BadModelFile
from graph.model_files.header import DEFAULT, read_header
from graph.model_files.limits import HeaderLimits
from graph.values import ModelFile

MEMORY_BYTES = 32 * 2**20
FOREIGN_WORDS = ("torch.load", "weights_only", "Traceback", "Expecting", "line 1", "NoneType")


def refused(path: Path, content: bytes, limits: HeaderLimits = DEFAULT) -> str:
    """Why the reader refuses a file, and that loading refuses it for the same reason."""
    path.write_bytes(content)
    file = ModelFile("loras", path.name)
    tracemalloc.start()
    try:
        with pytest.raises(BadModelFile) as checked:
            read_header(path, file, limits)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    with pytest.raises(BadModelFile) as loaded:
        open_weights(path, file, limits)
    assert peak < MEMORY_BYTES
    assert checked.value.problem == loaded.value.problem
    assert len(checked.value.problem) <= PROBLEM_CHARS
    assert not any(word in checked.value.problem for word in FOREIGN_WORDS)
    return checked.value.problem


def legacy(tensors: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()
