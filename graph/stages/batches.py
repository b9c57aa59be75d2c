"""Batches of pictures, masks or latents, changed by the image stage."""

from typing import Literal, Protocol, TypeVar

from graph.choices import ScaleMethod
from graph.values import Image, Latent, Mask

Batch = TypeVar("Batch")
MergeStrategy = Literal["match A", "match B", "match smaller", "match larger"]


class Batches(Protocol):
    """What nodes may do with a batch of any kind."""

    def batch_count(self, batch: Image | Mask | Latent) -> int: ...

    def split_batch(self, batch: Batch, index: int) -> tuple[Batch, Batch]: ...

    def every_nth(self, batch: Batch, every: int, skip: int) -> Batch: ...

    def repeat_batch(self, batch: Batch, times: int) -> Batch: ...

    def merge_batches(
        self, first: Batch, second: Batch, strategy: MergeStrategy, method: ScaleMethod, crop: str
    ) -> Batch: ...

    def opaque_masks(self, images: Image) -> Mask: ...
