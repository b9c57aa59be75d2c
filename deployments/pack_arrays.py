"""Tensors between the object store and a pack's process, without torch."""

from typing import Any

import numpy as np

from deployments.transport import Array
from packs.encoding import ITEM_BYTES, TensorParts


def parts_of(value: Any) -> TensorParts | None:
    """A tensor in parts; None for anything else."""
    if isinstance(value, np.ndarray):
        value = Array(value, str(value.dtype))
    if not isinstance(value, Array):
        return None
    data, shape = np.ascontiguousarray(value.data), list(value.data.shape)
    if not hasattr(np, value.dtype) and shape:  # its bytes are kept, see deployments/transport.py
        shape[-1] //= ITEM_BYTES[value.dtype]
    return TensorParts(value.dtype, tuple(shape), data.reshape(-1).view(np.uint8).data)


def array_of(parts: TensorParts) -> Array:
    """A tensor over the bytes that came; they are not copied."""
    shape = list(parts.shape)
    if hasattr(np, parts.dtype):
        return Array(np.frombuffer(parts.data, parts.dtype).reshape(shape), parts.dtype)
    if shape:
        shape[-1] *= ITEM_BYTES[parts.dtype]
    return Array(np.frombuffer(parts.data, np.uint8).reshape(shape), parts.dtype)
