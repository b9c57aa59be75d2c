"""Builds packed matrices from a file's tensors."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from diffusion.packing.ggml import UNPACK, Ggml
from diffusion.packing.packed import Packed
from diffusion.packing.scaled import Mxfp8, Nvfp4, Scaled, Turned, TurnedInt4, in_rows
from graph.model_files.gguf_header import BLOCKS
from graph.model_files.packing import INT4, MXFP8, NVFP4, SCALED, TURNED, Entry

BLOCK_BYTES: Mapping[str, tuple[int, int]] = {
    kind: (numbers, stored) for kind, numbers, stored in BLOCKS.values()
}


def packed(name: str, entry: Entry, read: Callable[[str], Tensor]) -> Packed:
    """The packed matrix of that name; `read` gives tensors as they are in the file."""
    assert entry.packing is not None
    if entry.packing.form in UNPACK:
        return _ggml(entry, read(name))
    parts = {role: read(part) for role, part in entry.packing.parts}
    data = read(name)
    smoothing = (parts["columns"].float().flatten(),) if "columns" in parts else ()
    scale = parts["scale"]
    form, group = entry.packing.form, entry.packing.group
    if form in (SCALED, TURNED):
        how = Turned(group) if form == TURNED else Scaled()
        return Packed(entry.shape, data, (_of_rows(scale, data.ndim), *smoothing), how)
    if form == INT4:
        return Packed(entry.shape, data, (_of_rows(scale, 2), *smoothing), TurnedInt4(group))
    rows, columns = entry.shape
    blocks = in_rows(scale.view(torch.uint8).flatten(), len(data), columns // group)[:rows]
    if form == NVFP4:
        own = blocks.view(torch.float8_e4m3fn)
        whole = parts["whole"].float().reshape(())
        return Packed(entry.shape, data[:rows], (own, whole, *smoothing), Nvfp4())
    assert form == MXFP8
    return Packed(entry.shape, data[:rows], (blocks, *smoothing), Mxfp8())


def _of_rows(scale: Tensor, dims: int) -> Tensor:
    """[] for one, [n, 1, ...] for one of each row."""
    scale = scale.float()
    return scale.reshape(()) if scale.numel() == 1 else scale.reshape(-1, *[1] * (dims - 1))


def _ggml(entry: Entry, data: Tensor) -> Packed:
    """Rows of the data are those of the matrix, or blocks where one goes on in the next row."""
    assert entry.packing is not None
    form = entry.packing.form
    numbers, stored = BLOCK_BYTES[form]
    apart = len(entry.shape) == 2 and entry.shape[1] % numbers == 0
    rows = entry.shape[0] if apart else math.prod(entry.shape) // numbers
    return Packed(entry.shape, data.reshape(rows, -1), (), Ggml(form, stored))
