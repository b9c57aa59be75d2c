"""Tensors that a network keeps of the rows of its calls, from one step of a job to the next."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffusion.batch.parts import Part


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of the rows of one call, under names of the network's own.

    `rows` has how many latents each row is, and what is kept of it. All have the same names. What
    is put is kept when the call has ended: one that fails in the middle is made again.
    """

    rows: tuple[tuple[int, dict[str, Tensor]], ...]
    _new: list[tuple[dict[str, Tensor], str, Tensor]] = field(default_factory=list)

    @property
    def is_filled(self) -> bool:
        return bool(self.rows[0][1])

    def has(self, name: str) -> bool:
        return name in self.rows[0][1]

    def get(self, name: str) -> Tensor:
        """[N, ...] of all rows."""
        return torch.cat([kept[name] for _, kept in self.rows])

    def put(self, name: str, tensor: Tensor) -> None:
        """Keep [N, ...] of all rows, once the call has `ended`."""
        counts = [count for count, _ in self.rows]
        for (_, kept), own in zip(self.rows, tensor.split(counts), strict=True):
            self._new.append((kept, name, own.clone()))

    def ended(self) -> None:
        """The call has answered."""
        for kept, name, tensor in self._new:
            kept[name] = tensor


def kept_of(parts: Sequence[Part]) -> Kept | None:
    """What is kept of the rows of a call, which are whole where anything is."""
    rows = tuple((part.count, part.row.kept) for part in parts if part.row.kept is not None)
    return Kept(rows) if rows else None
