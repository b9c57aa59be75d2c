"""Rotary positions of Flux's tokens. (Su et al. 2021; Flux.1)"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxPosEmbed


class Grid(NamedTuple):
    """A picture's tokens: which picture, where its corner is, how many there are."""

    picture: int
    y: int
    x: int
    rows: int
    columns: int

    def positions(self) -> Tensor:
        """[rows * columns, 3]."""
        y = torch.arange(self.y, self.y + self.rows)
        x = torch.arange(self.x, self.x + self.columns)
        picture = torch.full((self.rows * self.columns,), self.picture)
        grid = torch.cartesian_prod(y, x)
        return torch.cat([picture[:, None], grid], dim=1).float()


def rotary_tables(
    embedder: "FluxPosEmbed", text: int, grids: Sequence[Grid], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, head] for `text` tokens, which lie nowhere, and those of `grids`."""
    positions = torch.cat([torch.zeros(text, 3), *(grid.positions() for grid in grids)])
    cosines, sines = embedder(positions.to(device))
    return cosines, sines
