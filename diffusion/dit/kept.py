"""Tensors that a network keeps of the rows of its calls, from one step of a job to the next."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.batch.parts import Part


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of the rows of one call, under names of the network's own.

    `rows` has how many latents each row is, and what is kept of it. All have the same names.
    """

    rows: tuple[tuple[int, dict[str, Tensor]], ...]

    @property
    def is_filled(self) -> bool:
        return bool(self.rows[0][1])

    def has(self, name: str) -> bool:
        return name in self.rows[0][1]

    def get(self, name: str) -> Tensor:
        """[N, ...] of all rows."""
        return torch.cat([kept[name] for _, kept in self.rows])

    def put(self, name: str, tensor: Tensor) -> None:
        """Keep [N, ...] of all rows."""
        counts = [count for count, _ in self.rows]
        for (_, kept), own in zip(self.rows, tensor.split(counts), strict=True):
            kept[name] = own.clone()


def kept_of(parts: Sequence[Part]) -> Kept | None:
    """What is kept of the rows of a call, which are whole where anything is."""
    rows = tuple((part.count, part.row.kept) for part in parts if part.row.kept is not None)
    return Kept(rows) if rows else None
