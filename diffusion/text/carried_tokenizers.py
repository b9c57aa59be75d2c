"""Tokenizers that a text encoder's file carries: their bytes are one of its tensors."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

from diffusion.weights import Weights

LARGEST_BYTES = 2**25  # Mistral's, the largest that is known, has 2**24.2


class Carried(Protocol):
    @property
    def words(self) -> int: ...


T = TypeVar("T", bound=Carried)


def carried_tokenizer(
    part: Weights,
    key: str,
    read: Callable[[bytes], T],
    unreadable: tuple[type[Exception], ...],
    *,
    rows: int,
) -> T:
    """What `read` makes of the tensor `key` of a file whose table has so many rows.

    Raises:
        BadModelFile: it is too large, or `read` raises one of `unreadable`, or its table is larger.
    """
    size = part.entries[key].size
    if size > LARGEST_BYTES:
        problem = f"its tokenizer '{key}' has {size} bytes, at most {LARGEST_BYTES} are read"
        raise part.bad(problem=problem)
    try:
        found = read(part[key].reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    except unreadable as error:
        raise part.bad(problem=f"its tokenizer '{key}' cannot be read") from error
    if found.words > rows:
        problem = f"its tokenizer '{key}' knows {found.words} tokens, its table {rows}"
        raise part.bad(problem=problem)
    return found
