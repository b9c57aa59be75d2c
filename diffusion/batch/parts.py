"""Concatenates the latents of many rows for one network call."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.batch.rows import Row


@dataclass(frozen=True, eq=False)
class Part:
    """Some pictures of a row: all of them, unless a call cannot hold so many."""

    row: Row
    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start

    def of(self, tensor: Tensor) -> Tensor:
        """This part's pictures of [B or 1, ...]."""
        if len(tensor) == 1:
            return tensor.expand(self.count, *tensor.shape[1:])
        return tensor[self.start : self.stop]


def vectors(parts: Sequence[Part], dtype: torch.dtype) -> Tensor | None:
    """The vector embeddings [N, Y] of all pictures; None where the prompts have none."""
    ys = [part.of(y) for part in parts if (y := part.row.prompt.embedding.y) is not None]
    return torch.cat(ys).to(dtype) if ys else None
