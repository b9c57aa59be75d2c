"""Edges and lines laid over each other (the pack's AnyLinePreprocessor, by TheMistoAI)."""

import numpy as np
import torch
from torch import Tensor

from preprocessors.pictures import Picture


def any_lines(
    edges: Tensor,
    lines: Tensor,
    *,
    bounds: tuple[float, float],
    smallest_px: int,
    connectivity: int,
) -> Tensor:
    """`edges` with `lines` screened over them, both [B, H, W, 3] in 0..1.

    Of the lines only those within `bounds` count, in patches of at least `smallest_px` pixels.
    """
    low, high = bounds
    kept = torch.where((lines >= low) & (lines <= high), lines, 0)[..., :1].expand_as(lines)
    patches = np.stack([_patches(p.numpy(), smallest_px, connectivity) for p in kept.cpu()])
    top = kept * torch.from_numpy(patches).to(kept)
    return torch.where(top > 0, 1 - (1 - top) * (1 - edges), edges)


def _patches(lines: Picture, smallest_px: int, connectivity: int) -> Picture:
    """Where there are lines that are not specks; connected through the colours too."""
    from skimage.morphology import remove_small_objects  # noqa: PLC0415 - slow

    connected = min(connectivity, lines.ndim)
    there = lines.astype(bool)
    return np.asarray(remove_small_objects(there, max_size=smallest_px - 1, connectivity=connected))
