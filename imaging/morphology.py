"""Grey morphology: the largest or smallest value in a window around every pixel.

Windows end at the picture's edge. Square windows work on one axis after the other.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from graph.choices import MorphologyOperation


def morph(image: Tensor, operation: MorphologyOperation, kernel_size: int) -> Tensor:
    """An operation with a square of `kernel_size` pixels on [B, H, W, C].

    ComfyUI comfy_extras/nodes_morphology.py, Morphology. The window of an even size reaches one
    pixel further to the left and to the top.
    """
    before, after = kernel_size // 2, kernel_size - kernel_size // 2 - 1
    return OPERATIONS[operation](image.movedim(-1, 1), (before, after)).movedim(1, -1)


def dilate(x: Tensor, reach: tuple[int, int]) -> Tensor:
    """[B, C, H, W] with the largest value from `reach` (before, after) pixels around each."""
    before, after = (min(r, max(x.shape[-2:])) for r in reach)  # further there is nothing
    wide = _largest(pad(x, (before, after, 0, 0), value=float("-inf")), -1, before + after + 1)
    return _largest(pad(wide, (0, 0, before, after), value=float("-inf")), -2, before + after + 1)


def _largest(x: Tensor, axis: int, size: int) -> Tensor:
    """The largest of every `size` neighbours along an axis, from windows that double."""
    reached = 1
    while reached < size:
        step = min(reached, size - reached)
        rest = x.shape[axis] - step
        x = torch.maximum(x.narrow(axis, 0, rest), x.narrow(axis, step, rest))
        reached += step
    return x


def erode(x: Tensor, reach: tuple[int, int]) -> Tensor:
    """[B, C, H, W] with the smallest value from `reach` (before, after) pixels around each."""
    return -dilate(-x, reach)


def dilate_diamond(x: Tensor, radius: int) -> Tensor:
    """[B, C, H, W] with the largest value at most `radius` steps along rows and columns away."""
    for _ in range(radius):
        wide = max_pool2d(x, (1, 3), stride=1, padding=(0, 1))
        grown = torch.maximum(wide, max_pool2d(x, (3, 1), stride=1, padding=(1, 0)))
        if torch.equal(grown, x):  # every pixel has met the largest value there is
            break
        x = grown
    return x


def _open(x: Tensor, reach: tuple[int, int]) -> Tensor:
    return dilate(erode(x, reach), reach)


def _close(x: Tensor, reach: tuple[int, int]) -> Tensor:
    return erode(dilate(x, reach), reach)


OPERATIONS: Mapping[MorphologyOperation, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "erode": erode,
    "dilate": dilate,
    "open": _open,
    "close": _close,
    "gradient": lambda x, reach: dilate(x, reach) - erode(x, reach),
    "bottom_hat": lambda x, reach: _close(x, reach) - x,
    "top_hat": lambda x, reach: x - _open(x, reach),
}
