"""The patches of one weight, and the weight that they give at a strength.

Weights come in and go out in float32; the one that came in is never written to. After ComfyUI
comfy/lora.py, `calculate_weight`, and comfy/weight_adapter/base.py, `weight_decompose`.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.lora.lycoris import Delta

MOST_WIDER = 8  # times that a weight may come to have its inputs; Flux Fill has 6 times Flux's


class MismatchError(Exception):
    """A change that cannot be applied to a weight of this shape. Its text says why."""


class WeightPatch(Protocol):
    """One file's change to one weight."""

    def __call__(self, weight: Tensor, strength: float) -> Tensor:
        """The weight under this change.

        Raises:
            MismatchError: it is made for a weight of another shape.
        """


@dataclass(frozen=True, eq=False)
class Added:
    """W + strength * alpha / rank * delta."""

    delta: Delta
    alpha: float | None = None

    def __call__(self, weight: Tensor, strength: float) -> Tensor:
        return torch.add(weight, self.difference(weight), alpha=strength * self.scale())

    def scale(self) -> float:
        rank = self.delta.rank
        return 1.0 if self.alpha is None or rank is None else self.alpha / rank

    def difference(self, weight: Tensor) -> Tensor:
        """Unscaled."""
        elements = self.delta.elements()
        if elements is not None and elements != weight.numel():  # before memory is spent on it
            problem = f"makes {elements} numbers for a weight {tuple(weight.shape)}"
            raise MismatchError(problem)
        return self.delta(weight)


@dataclass(frozen=True, eq=False)
class Decomposed:
    """DoRA (Liu et al. 2024): the sum is given lengths that were learned, row by row.

    The lengths it had are those of the plain weight's rows, as LyCORIS took them first. Learned for
    columns (`magnitude` [1, in, ...]), and in PEFT's files, they are those of the sum.
    """

    added: Added
    magnitude: Tensor
    of_sum: bool = False

    def __call__(self, weight: Tensor, strength: float) -> Tensor:
        total = weight + self.added.scale() * self.added.difference(weight)
        learned = self.magnitude.to(device=weight.device, dtype=torch.float32)
        if self.of_sum or learned.dim() < weight.dim():
            learned = learned.reshape(-1, *(1,) * (weight.dim() - 1))
        if learned.shape[0] == total.shape[0]:
            had = _lengths(total if self.of_sum else weight, axis=0)
        else:
            had = _lengths(total, axis=1)
        if learned.shape != had.shape:
            problem = f"has lengths {tuple(learned.shape)} for a weight {tuple(weight.shape)}"
            raise MismatchError(problem)
        return weight + strength * (total * (learned / had) - weight)


@dataclass(frozen=True, eq=False)
class Rotated:
    """OFT: blocks of output rows are turned by the Cayley transform of what was learned.

    `blocks` [n, b, b]; `limit` bounds how far, 0 does not.
    """

    blocks: Tensor
    limit: float = 0.0

    def __call__(self, weight: Tensor, strength: float) -> Tensor:
        count, size, _ = self.blocks.shape
        if count * size != weight.shape[0]:
            problem = f"turns {count * size} rows of a weight {tuple(weight.shape)}"
            raise MismatchError(problem)
        turned = cayley(self.blocks.to(device=weight.device, dtype=torch.float32), self.limit)
        change = turned - torch.eye(size, device=weight.device)
        rows = weight.reshape(count, size, *weight.shape[1:])
        moved = torch.einsum("k n m, k n ... -> k m ...", change, rows)
        return weight + strength * moved.reshape(weight.shape)


@dataclass(frozen=True, eq=False)
class Difference:
    """W + strength * difference, as a file holds it."""

    difference: Tensor

    def __call__(self, weight: Tensor, strength: float) -> Tensor:
        return weight + strength * _shaped(self.difference, weight)


@dataclass(frozen=True, eq=False)
class Replacement:
    """Another weight, at any strength."""

    weight: Tensor

    def __call__(self, weight: Tensor, strength: float) -> Tensor:  # noqa: ARG002 - one signature
        return _shaped(self.weight, weight)


@dataclass(frozen=True, eq=False)
class Widened:
    """A change to a weight that is filled up with zeros to `shape` first, for further inputs.

    (ComfyUI comfy/weight_adapter/base.py, `pad_tensor_to_shape`)
    """

    patch: WeightPatch
    shape: tuple[int, ...]

    def __call__(self, weight: Tensor, strength: float) -> Tensor:
        rows, columns = weight.shape if weight.dim() == 2 else (0, 1)
        if self.shape not in [(rows, columns * times) for times in range(1, MOST_WIDER + 1)]:
            problem = f"makes a weight {tuple(weight.shape)} one of {self.shape}"
            raise MismatchError(problem)
        return self.patch(functional.pad(weight, (0, self.shape[1] - columns)), strength)


def cayley(blocks: Tensor, limit: float) -> Tensor:
    """Rotations [n, b, b] of square blocks: (I + Q)(I - Q)^-1, Q = X - X^T."""
    q = blocks - blocks.transpose(-1, -2)
    length = float(torch.linalg.vector_norm(q)) + 1e-8
    if 0 < limit < length:
        q = q * (limit / length)
    unit = torch.eye(q.shape[-1], device=q.device)
    turned: Tensor = (unit + q) @ torch.linalg.inv(unit - q)
    return turned


def _lengths(weight: Tensor, *, axis: int) -> Tensor:
    """Of every slice along `axis`, shaped to be divided by; never 0."""
    others = [i for i in range(weight.dim()) if i != axis]
    lengths: Tensor = torch.linalg.vector_norm(weight, dim=others, keepdim=True)
    return lengths + torch.finfo(torch.float32).eps


def _shaped(tensor: Tensor, like: Tensor) -> Tensor:
    if tensor.shape != like.shape:
        problem = f"is {tuple(tensor.shape)}, for a weight {tuple(like.shape)}"
        raise MismatchError(problem)
    return tensor.to(device=like.device, dtype=torch.float32)
