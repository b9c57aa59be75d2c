"""Reads a transformer's sizes from the names and shapes of its tensors."""

from collections.abc import Callable
from itertools import count, takewhile
from typing import TypeVar

from diffusion.weights import Weights

S = TypeVar("S")


def read(weights: Weights, shape: Callable[[Weights], S]) -> S:
    """What `shape` reads of weights. Raises BadModelFile where some are missing."""
    try:
        return shape(weights)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise weights.bad(problem=f"its transformer is incomplete: {error}") from error


def check_heads(weights: Weights, *, width: int, head: int, unit: int) -> None:
    """Raises BadModelFile unless heads, of whole `unit`s of channels, make up the width."""
    if min(head, width) <= 0 or head % unit or width % head:
        raise weights.bad(problem=f"its transformer has width {width} and heads of {head}")


def counted(weights: Weights, pattern: str) -> int:
    """How many of `pattern`, which has a {} for the index, there are in a row."""
    starts = (pattern.format(index) for index in count())
    return len(list(takewhile(lambda s: any(key.startswith(s) for key in weights), starts)))
