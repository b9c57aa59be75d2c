"""Cuts, joins, thins and repeats batches of pictures, masks or latents."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

import torch

from graph.choices import ScaleCrop, ScaleMethod
from graph.stages.batches import MergeStrategy
from graph.values import Image, Latent, Mask, Tensor
from imaging.resize import resize, resize_image
from media.limits import MediaTooLargeError

Batch = TypeVar("Batch")
MOST_BYTES = 2**34  # of a batch that is repeated


class NodeBatches:
    """What nodes of VideoHelperSuite do with batches."""

    def batch_count(self, batch: Image | Mask | Latent) -> int:
        return int(tensor_of(batch).shape[0])

    def split_batch(self, batch: Batch, index: int) -> tuple[Batch, Batch]:
        return over(batch, lambda rows: rows[:index]), over(batch, lambda rows: rows[index:])

    def every_nth(self, batch: Batch, every: int, skip: int) -> Batch:
        return over(batch, lambda rows: rows[skip::every])

    def repeat_batch(self, batch: Batch, times: int) -> Batch:
        rows = tensor_of(batch)
        size = rows.nbytes * times
        if size > MOST_BYTES:
            raise MediaTooLargeError(BYTES, size, MOST_BYTES)
        return over(batch, lambda rows: torch.cat([rows] * times))

    def merge_batches(
        self, first: Batch, second: Batch, strategy: MergeStrategy, method: ScaleMethod, crop: str
    ) -> Batch:
        a, b = tensor_of(first), tensor_of(second)
        if sides(a, first) != sides(b, second):
            goal = (
                sides(a, first)
                if _first_leads(strategy, sides(a, first), sides(b, second))
                else (sides(b, second))
            )
            a, b = scaled(a, first, goal, method, crop), scaled(b, second, goal, method, crop)
        joined = torch.cat([a, b])
        if isinstance(first, Latent):
            return cast(Batch, Latent(joined))
        return cast(Batch, joined)

    def opaque_masks(self, images: Image) -> Mask:
        return torch.zeros(images.shape[:3])


BYTES = "bytes"


def tensor_of(batch: object) -> Tensor:
    """The rows of a batch."""
    return batch.samples if isinstance(batch, Latent) else batch


def over(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """A batch with other rows, its mask of noise likewise."""
    if not isinstance(batch, Latent):
        return cast(Batch, change(batch))
    mask = batch.noise_mask
    if mask is not None and mask.shape[0] == batch.samples.shape[0]:
        mask = change(mask)
    return cast(
        Batch, replace(batch, samples=change(batch.samples), noise_mask=mask, batch_index=None)
    )


def sides(rows: Tensor, batch: object) -> tuple[int, int]:
    """Height and width of rows, which latents have last."""
    height, width = (
        rows.shape[-2:] if isinstance(batch, Latent) or rows.dim() == 3 else rows.shape[1:3]
    )
    return int(height), int(width)


def scaled(
    rows: Tensor, batch: object, goal: tuple[int, int], method: ScaleMethod, crop: str
) -> Tensor:
    """Rows at another height and width."""
    if sides(rows, batch) == goal:
        return rows
    cropping: ScaleCrop = "center" if crop == "center" else "disabled"
    if isinstance(batch, Latent):
        return resize(rows, goal[1], goal[0], method, cropping)
    if rows.dim() == 3:
        return resize(rows[:, None], goal[1], goal[0], method, cropping)[:, 0]
    return resize_image(rows, goal[1], goal[0], method, cropping)


def _first_leads(strategy: MergeStrategy, a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether the first batch has the size that both get."""
    areas = a[0] * a[1], b[0] * b[1]
    return {
        "match A": True,
        "match B": False,
        "match smaller": areas[0] <= areas[1],
        "match larger": areas[0] >= areas[1],
    }[strategy]
