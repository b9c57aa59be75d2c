"""Self-attention over fewer tokens: in tiles (HyperTile), or with alike ones merged (ToMe).

Both take the tokens that ask and leave those that are asked; what they draw comes from the job.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from diffusion.batch.rows import Draws
from graph.values import Change

Undo: TypeAlias = Callable[[Tensor], Tensor]
STRIDE = 2  # along both sides of the squares of which one token each is merged into


@dataclass(frozen=True)
class Site:
    """Where tokens are: the layer, and the size of the latent the network was called with."""

    place: str
    height: int
    width: int
    draws: Draws


def hypertile(change: Change, site: Site, tokens: Tensor) -> tuple[Tensor, Undo]:
    """Tokens [B, T, D] as tiles [B * tiles, T / tiles, D] (Fernandes, HyperTile 2023).

    (ComfyUI comfy_extras/nodes_hypertile.py)
    """
    count = tokens.shape[1]
    area = site.height * site.width
    depths = [d for d in range(change["max_depth"] + 1) if area / 4**d == count]
    if not depths:
        return tokens, _same
    ratio = site.width / site.height
    # The picture's width counts as its height, and the other way round: so they do in ComfyUI.
    height, width = round(math.sqrt(count * ratio)), round(math.sqrt(count / ratio))
    smallest = max(32, change["tile_size"]) // 8
    smallest *= 2 ** depths[0] if change["scale_depth"] else 1
    rows = _tiles(height, smallest, change["swap_size"], site, "rows")
    columns = _tiles(width, smallest, change["swap_size"], site, "columns")
    if rows * columns == 1:
        return tokens, _same
    grid = (rows, columns, height // rows, width // columns)
    return _tiled(tokens, *grid), lambda attended: _untiled(attended, *grid)


def _tiles(side: int, smallest: int, choices: int, site: Site, axis: str) -> int:
    """How many tiles along a side: a random one of the finest divisions that are allowed."""
    sizes = [size for size in range(min(smallest, side), side + 1) if side % size == 0][:choices]
    if len(sizes) == 1:
        return side // sizes[0]
    # The coarsest of the choices is never drawn, in ComfyUI neither.
    key = (site.place, site.height, site.width, axis)
    return side // sizes[int(site.draws.integers(key, len(sizes) - 1, (1,)))]


def _tiled(tokens: Tensor, rows: int, columns: int, height: int, width: int) -> Tensor:
    batch, _, depth = tokens.shape
    grid = tokens.reshape(batch, rows, height, columns, width, depth).transpose(2, 3)
    return grid.reshape(batch * rows * columns, height * width, depth)


def _untiled(tokens: Tensor, rows: int, columns: int, height: int, width: int) -> Tensor:
    grid = tokens.reshape(-1, rows, columns, height, width, tokens.shape[-1]).transpose(2, 3)
    return grid.reshape(-1, rows * columns * height * width, tokens.shape[-1])


def merge_tokens(change: Change, site: Site, tokens: Tensor) -> tuple[Tensor, Undo]:
    """Tokens [B, T, D] with a share of them merged into those most alike (Bolya & Hoffman 2023).

    Only at the finest level. (ComfyUI comfy_extras/nodes_tomesd.py)
    """
    count = tokens.shape[1]
    merged = int(count * change["ratio"])
    too_small = site.height == 1 or site.width == 1
    if site.height * site.width // count > 1 or merged <= 0 or too_small:
        return tokens, _same
    kept, movable = (places.to(tokens.device) for places in _destinations(site))
    return _merged(tokens, kept, movable, min(merged, len(movable)))


def _destinations(site: Site) -> tuple[Tensor, Tensor]:
    """The places of the tokens that are merged into, a random one in each square, and the rest."""
    height, width = site.height // STRIDE, site.width // STRIDE
    key = (site.place, site.height, site.width)
    drawn = site.draws.integers(key, STRIDE**2, (height, width, 1))[..., 0]
    down = torch.arange(height)[:, None] * STRIDE + drawn // STRIDE
    right = torch.arange(width) * STRIDE + drawn % STRIDE
    is_kept = torch.zeros(site.height * site.width, dtype=torch.bool)
    is_kept[(down * site.width + right).flatten()] = True
    return is_kept.nonzero()[:, 0], (~is_kept).nonzero()[:, 0]


def _merged(tokens: Tensor, kept: Tensor, movable: Tensor, count: int) -> tuple[Tensor, Undo]:
    """The `count` most alike of `movable` averaged into their likest of `kept`."""
    depth = tokens.shape[-1]
    unit = tokens / tokens.norm(dim=-1, keepdim=True)
    likeness, likest = (unit[:, movable] @ unit[:, kept].transpose(1, 2)).max(dim=-1)
    order = likeness.argsort(dim=-1, descending=True)
    moved, stay = movable[order[:, :count]], movable[order[:, count:]]
    into = likest.gather(1, order[:, :count])

    def wide(places: Tensor) -> Tensor:
        return places[..., None].expand(-1, -1, depth)

    sources = tokens.gather(1, wide(moved))
    means = tokens[:, kept].scatter_reduce(1, wide(into), sources, reduce="mean")
    fewer = torch.cat([tokens.gather(1, wide(stay)), means], dim=1)

    def undo(attended: Tensor) -> Tensor:
        staying, targets = attended[:, : stay.shape[1]], attended[:, stay.shape[1] :]
        whole = torch.empty_like(tokens, dtype=attended.dtype)
        whole[:, kept] = targets
        whole.scatter_(1, wide(stay), staying)
        return whole.scatter_(1, wide(moved), targets.gather(1, wide(into)))

    return fewer, undo


def _same(attended: Tensor) -> Tensor:
    return attended


TokenChange: TypeAlias = Callable[[Change, Site, Tensor], tuple[Tensor, Undo]]
TOKEN_CHANGES: Mapping[str, TokenChange] = MappingProxyType(
    {"hypertile": hypertile, "tome": merge_tokens}
)
