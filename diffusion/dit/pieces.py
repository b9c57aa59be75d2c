"""Maps tensor names of diffusion transformer files to diffusers' names.

A file's layer may be several of diffusers': queries, keys and values in one matrix. And the last
modulation comes in another order: shift before scale. So a file's tensor is told as pieces.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Piece:
    """A module of diffusers' as rows `start` to `stop` of a file's module, in order or `swapped`.

    `stop` None is the end. Swapped: the second half of the rows comes first.
    """

    module: str  # diffusers' name
    source: str  # the file's
    start: int = 0
    stop: int | None = None
    swapped: bool = False

    def rows(self, count: int) -> list[slice]:
        """Which of so many rows it is, in order."""
        if self.swapped:
            half = -(-count // 2)
            return [slice(half, count), slice(0, half)]
        stop = count if self.stop is None else min(self.stop, count)
        return [slice(min(self.start, stop), stop)]

    def of(self, tensor: Tensor) -> Tensor:
        """The piece of a weight or a bias; of a number, all of it."""
        if tensor.dim() == 0:
            return tensor
        rows = self.rows(len(tensor))
        if len(rows) == 1:
            return tensor[rows[0]]
        return torch.cat([tensor[own] for own in rows])


def by_source(pieces: Iterable[Piece]) -> dict[str, list[Piece]]:
    """What the modules of a file are cut into."""
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.source, []).append(piece)
    return found


def thirds(attn: str, source: str, width: int, *, added: bool = False) -> Iterator[Piece]:
    """Queries, keys and values; `added` are the text's."""
    names = ("add_q_proj", "add_k_proj", "add_v_proj") if added else ("to_q", "to_k", "to_v")
    for place, name in enumerate(names):
        yield Piece(f"{attn}.{name}", source, place * width, (place + 1) * width)


def named(names: Mapping[str, str]) -> Iterator[Piece]:
    """Modules that only have another name."""
    return (Piece(ours, theirs) for ours, theirs in names.items())


def file_names_by(
    pieces: Callable[[Any], Iterable[Piece]],
) -> Callable[[Any], Mapping[str, str]]:
    """A family's `file_names`, where `pieces` of its shape tell them."""
    return lambda shape: {piece.module: piece.source for piece in pieces(shape)}
