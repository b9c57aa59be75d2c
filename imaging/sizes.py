"""Size limits of pictures; matching batch sizes and channels."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from graph.errors import ServiceError

MAX_VALUES = 3 * 2**28  # of one tensor: the largest single picture ComfyUI's widgets can ask for


@dataclass(eq=False)
class ImageTooLargeError(ServiceError):
    """A picture, or what was asked to be made of one, that is over a limit."""

    status = 413
    code = "image_too_large"
    template = "The image has {size} {unit}, {limit} are allowed."
    size: int
    unit: str
    limit: int


@dataclass(eq=False)
class EmptyImageError(ServiceError):
    """An operation that would leave no pixels."""

    status = 422
    code = "empty_image"
    template = "An image cannot be {width} × {height} pixels."
    width: int
    height: int


@dataclass(eq=False)
class BatchMismatchError(ServiceError):
    """Two batches of which neither is one picture, and that differ in number."""

    status = 422
    code = "batch_mismatch"
    template = "Batches of {first} and of {second} cannot be combined."
    first: int
    second: int


@dataclass(eq=False)
class SizeMismatchError(ServiceError):
    """Two tensors of sizes that an operation does not bring together."""

    status = 422
    code = "size_mismatch"
    template = "Sizes {first} and {second} cannot be combined."
    first: tuple[int, ...]
    second: tuple[int, ...]


def check_size(*shape: int) -> None:
    """Raises ImageTooLargeError where a tensor of `shape` would take more than a job may."""
    if (size := math.prod(shape)) > MAX_VALUES:
        raise ImageTooLargeError(size, "values", MAX_VALUES)


def repeat_to_batch(x: Tensor, batch: int) -> Tensor:
    """`x` cut to `batch` entries, or repeated from its start until there are as many."""
    rounds = math.ceil(batch / x.shape[0])
    return x.repeat(rounds, *[1] * (x.ndim - 1))[:batch] if rounds > 1 else x[:batch]


def extend_to_batch(x: Tensor, batch: int) -> Tensor:
    """`x` with its last entry repeated until there are `batch`."""
    missing = batch - x.shape[0]
    return torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing > 0 else x


def match_batch(image: Tensor, other: Tensor) -> Tensor:
    """`other` as it can be combined with `image`: as large a batch, or one picture for all.

    Raises:
        BatchMismatchError: neither batch is 1 and they differ.
    """
    batches = image.shape[0], other.shape[0]
    if 1 not in batches and batches[0] != batches[1]:
        raise BatchMismatchError(*batches)
    return other


def add_channels(image: Tensor, channels: int) -> Tensor:
    """[B, H, W, C] with opaque (1.0) channels added until there are `channels`."""
    missing = channels - image.shape[-1]
    return torch.nn.functional.pad(image, (0, missing), value=1.0) if missing > 0 else image


def match_channels(image: Tensor, other: Tensor) -> Tensor:
    """`other` with as many channels as `image`: cut, or completed with an opaque alpha."""
    return add_channels(other[..., : image.shape[-1]], image.shape[-1])
