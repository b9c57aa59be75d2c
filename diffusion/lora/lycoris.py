"""Weight deltas of LoRAs: the low-rank product and its LyCORIS relatives.

Every `Delta` makes the difference [out, in, ...] in float32. What is done with it, scaled and
added or decomposed, follows ComfyUI's comfy/weight_adapter; the products are those of Hu et al.
2021 (LoRA), Hyeon-Woo et al. 2021 (LoHa), Yeh et al. 2023 (LoCon, LoKr), Chavan et al. 2023
(GLoRA), Qiu et al. 2023 (OFT) and Liu et al. 2023 (BOFT).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Delta(Protocol):
    """A difference to a weight, before it is scaled."""

    @property
    def rank(self) -> int | None:
        """What alpha is divided by; None where alpha does not count."""

    def elements(self) -> int | None:
        """How many numbers it makes; None where it follows the weight's shape."""

    def __call__(self, weight: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class LowRank:
    """up [out, r] times down [r, in, ...]; with `mid` [r, r, h, w] a Tucker decomposition."""

    up: Tensor
    down: Tensor
    mid: Tensor | None = None

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def elements(self) -> int:
        kernel = 1 if self.mid is None else math.prod(self.mid.shape[2:])
        return self.up.shape[0] * math.prod(self.down.shape[1:]) * kernel

    def __call__(self, weight: Tensor) -> Tensor:
        up, down = _moved(self.up, weight), _moved(self.down, weight)
        if self.mid is not None:
            mid = _moved(self.mid, weight)
            down = torch.einsum("s i, r s h w -> r i h w", down.flatten(1), mid)
        return (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)


@dataclass(frozen=True, eq=False)
class Hadamard:
    """LoHa: two low-rank products, multiplied element by element."""

    w1_a: Tensor  # [out, r]
    w1_b: Tensor  # [r, in]
    w2_a: Tensor
    w2_b: Tensor
    t1: Tensor | None = None  # [r, r, h, w]; then the a are [r, out]
    t2: Tensor | None = None

    @property
    def rank(self) -> int:
        return self.w1_b.shape[0]

    def elements(self) -> int:
        if self.t1 is None:
            return self.w1_a.shape[0] * self.w1_b.shape[1]
        return self.w1_a.shape[1] * self.w1_b.shape[1] * math.prod(self.t1.shape[2:])

    def __call__(self, weight: Tensor) -> Tensor:
        first = _product(self.w1_a, self.w1_b, self.t1, weight)
        second = _product(self.w2_a, self.w2_b, self.t2, weight)
        return (first * second).reshape(weight.shape)


@dataclass(frozen=True, eq=False)
class Kronecker:
    """LoKr: the Kronecker product of two matrices, each whole (`w`) or of low rank (`a` @ `b`)."""

    w1: Tensor | None
    w1_a: Tensor | None
    w1_b: Tensor | None
    w2: Tensor | None
    w2_a: Tensor | None
    w2_b: Tensor | None
    t2: Tensor | None = None

    @property
    def rank(self) -> int | None:
        if self.w2 is None and self.w2_b is not None:
            return self.w2_b.shape[0]
        return self.w1_b.shape[0] if self.w1 is None and self.w1_b is not None else None

    def elements(self) -> int:
        sides = ((self.w1, self.w1_a, self.w1_b, None), (self.w2, self.w2_a, self.w2_b, self.t2))
        return math.prod(_side_elements(*side) for side in sides)

    def __call__(self, weight: Tensor) -> Tensor:
        first = _side(self.w1, self.w1_a, self.w1_b, None, weight)
        second = _side(self.w2, self.w2_a, self.w2_b, self.t2, weight)
        first = first.reshape(*first.shape, *(1,) * (second.dim() - first.dim()))
        return torch.kron(first, second).reshape(weight.shape)


@dataclass(frozen=True, eq=False)
class Generalized:
    """GLoRA: W A + B, both of low rank."""

    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor

    @property
    def rank(self) -> int:
        return self.a1.shape[0] if self._first_layout() else self.a2.shape[0]

    def elements(self) -> None:
        return None

    def __call__(self, weight: Tensor) -> Tensor:
        a1, a2, b1, b2 = (
            _moved(t, weight).flatten(1) for t in (self.a1, self.a2, self.b1, self.b2)
        )
        if self._first_layout():
            return (b2 @ b1 + weight.flatten(1) @ a2 @ a1).reshape(weight.shape)
        changed = torch.einsum("o i ..., i r, r j -> o j ...", weight, a1, a2)
        return changed + (b1 @ b2).reshape(weight.shape)

    def _first_layout(self) -> bool:
        """LyCORIS once stored the factors the other way round; square files are the new way."""
        rank = self.a1.shape[0]
        first = self.b2.shape[1] == self.b1.shape[0] == rank == self.a2.shape[1]
        now = self.b2.shape[0] == self.b1.shape[1] == self.a1.shape[1] == self.a2.shape[0]
        return first and not now


def _product(a: Tensor, b: Tensor, core: Tensor | None, like: Tensor) -> Tensor:
    """a @ b, or around a Tucker core [r, r, h, w]: [out, in, h, w]."""
    a, b = _moved(a, like), _moved(b, like)
    if core is None:
        return a @ b
    return torch.einsum("i j h w, j r, i p -> p r h w", _moved(core, like), b, a)


def _side(
    whole: Tensor | None, a: Tensor | None, b: Tensor | None, core: Tensor | None, like: Tensor
) -> Tensor:
    if whole is not None:
        return _moved(whole, like)
    assert a is not None
    assert b is not None
    return _product(a, b, core, like)


def _side_elements(
    whole: Tensor | None, a: Tensor | None, b: Tensor | None, core: Tensor | None
) -> int:
    if whole is not None:
        return whole.numel()
    assert a is not None
    assert b is not None
    if core is None:
        return a.shape[0] * b.shape[1]
    return a.shape[1] * b.shape[1] * math.prod(core.shape[2:])


def _moved(tensor: Tensor, like: Tensor) -> Tensor:
    return tensor.to(device=like.device, dtype=torch.float32)
