"""Divides patches of a fused layer between the modules that hold its parts."""

from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.lora.lycoris import LowRank
from diffusion.lora.weight_patches import (
    Added,
    Difference,
    MismatchError,
    Replacement,
    WeightPatch,
    Widened,
)
from diffusion.networks.weight_names import Cut


def cut_patch(patch: WeightPatch, cut: Cut) -> WeightPatch:
    """The part of a change that `cut` takes of a weight's rows."""
    if isinstance(patch, Added) and isinstance(patch.delta, LowRank) and patch.delta.mid is None:
        delta = patch.delta
        return Added(LowRank(cut.of(delta.up), delta.down, None), patch.alpha)
    if isinstance(patch, Widened):
        return Widened(cut_patch(patch.patch, cut), patch.shape)
    if isinstance(patch, Replacement):
        return Replacement(cut.of(patch.weight))
    return CutPatch(patch, cut)


@dataclass(frozen=True, eq=False)
class CutPatch:
    """A change that is worked out for the whole layer, and cut."""

    patch: WeightPatch
    cut: Cut

    def __call__(self, weight: Tensor, strength: float) -> Tensor:
        rows = self._rows(weight)
        whole = weight.new_zeros(rows, *weight.shape[1:], dtype=torch.float32)
        part = self.cut.of(self.patch(whole, strength))
        if part.shape != weight.shape:
            problem = f"has a part {tuple(part.shape)} for a weight {tuple(weight.shape)}"
            raise MismatchError(problem)
        return weight + part

    def _rows(self, weight: Tensor) -> int:
        """Of the whole layer, as the change itself says it."""
        if isinstance(self.patch, Difference):
            return len(self.patch.difference)
        elements = self.patch.delta.elements() if isinstance(self.patch, Added) else None
        if elements is None or elements % weight[0].numel():
            problem = "is of a kind that cannot be applied to a part of a layer"
            raise MismatchError(problem)
        return elements // weight[0].numel()
