"""Reads one LoRA file for one kind of model: patches by parameter, and unmatched keys."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from diffusion.lora.cut_patches import cut_patch
from diffusion.lora.keys import Parts, by_stem
from diffusion.lora.lycoris import Delta, Generalized, Hadamard, Kronecker, LowRank
from diffusion.lora.weight_patches import (
    Added,
    Decomposed,
    Difference,
    Replacement,
    Rotated,
    WeightPatch,
    Widened,
)
from diffusion.networks.weight_names import Names, Target
from diffusion.weights import Weights
from graph.errors import BadModelFile
from graph.values import ModelFile

LISTED = 10  # keys named in a warning
LONGEST_SHAPE = 5  # sides of a weight


@dataclass(frozen=True, eq=False)
class Lora:
    """What one file changes of one kind of model."""

    file: ModelFile
    patches: Mapping[str, WeightPatch]  # by parameter
    unfit: tuple[str, ...]  # keys meant for this kind of model that name no weight of it
    size: int  # bytes

    @property
    def warnings(self) -> tuple[str, ...]:
        if not self.unfit:
            return ()
        more = len(self.unfit) - LISTED
        listed = ", ".join(self.unfit[:LISTED]) + (f" and {more} more" if more > 0 else "")
        name = f"{self.file.folder}/{self.file.name}"
        return (f"LoRA {name}: {len(self.unfit)} of its keys fit nothing in the model: {listed}",)


def read_lora(weights: Weights, names: Names) -> Lora:
    """The patches of a file for the model whose weights are `names`; tensors are copies.

    Raises:
        BadModelFile: it is damaged, or nothing in it is for a model of this kind.
    """
    if not weights:
        raise weights.bad(problem="no tensors in it")
    keys = [key for key in weights if names.mine(key)]
    stems, unfit = by_stem(keys, names.endings(keys))
    known = names.parameters()
    patches: dict[str, WeightPatch] = {}
    size = 0
    for stem, parts in stems.items():
        name = next((known[each] for each in names.stems(stem) if each in known), None)
        change = _Change(weights, stem, parts, names)
        if name is not None:
            for changed, patch in change.patches(name, known.values()).items():
                patches.update(_spread(patch, names.targets(changed)))
        unfit += [key for part, key in parts.items() if part not in change.read]
        size += change.size
    if unfit and not patches:
        problem = f"none of its {len(unfit)} keys fits this model, such as {min(unfit)!r}"
        raise weights.bad(problem=problem)
    return Lora(weights.file, patches, tuple(sorted(unfit)), size)


def _spread(patch: WeightPatch, targets: Sequence[Target]) -> dict[str, WeightPatch]:
    """A change to what several parameters are parts of, for each of them."""
    return {
        target.name: patch if target.cut is None else cut_patch(patch, target.cut)
        for target in targets
    }


class _Change:
    """One stem's parts. `read` says which of them were used, `size` how many bytes they are."""

    def __init__(self, weights: Weights, stem: str, parts: Parts, names: Names) -> None:
        self._weights = weights
        self._stem = stem
        self._parts = parts
        self._names = names
        self.read: set[str] = set()
        self.size = 0

    def patches(self, name: str, parameters: Collection[str]) -> dict[str, WeightPatch]:
        """What is said of the parameter `name`, and of the bias beside it."""
        found: dict[str, WeightPatch] = {}
        patch = self._whole() or self._product()
        if patch is not None:
            found[name] = patch if self._shape is None else Widened(patch, self._shape)
        bias = name.removesuffix("weight") + "bias"
        for part in ("b_norm", "diff_b"):
            if part in self._parts and name.endswith("weight") and bias in parameters:
                found[bias] = Difference(self._tensor(part))
        return found

    @cached_property
    def _shape(self) -> tuple[int, ...] | None:
        """What its weight is filled up to first; some files do not say it."""
        if "reshape_weight" in self._parts:
            sides = self._tensor("reshape_weight").flatten()
            if len(sides) > LONGEST_SHAPE:
                raise self._bad(problem=f"has a shape of {len(sides)} sides")
            return tuple(map(int, sides))
        if "up" in self._parts and self._names.fills_up(self._parts.get("down", "")):
            up, down = (self._weights.shape(self._parts[part]) for part in ("up", "down"))
            return (up[0], down[-1]) if up and down else None
        return None

    def _whole(self) -> WeightPatch | None:
        """A change that is as large as its weight; it goes before one that is made of factors."""
        if "set_weight" in self._parts:
            return Replacement(self._tensor("set_weight"))
        for part in ("diff", "w_norm"):
            if part in self._parts:
                return Difference(self._tensor(part))
        return None

    def _product(self) -> WeightPatch | None:
        if "oft_blocks" in self._parts:
            return self._rotation()
        delta = self._delta()
        if delta is None:
            return None
        if delta.rank == 0:
            raise self._bad(problem="is of rank 0")
        added = Added(delta, self._alpha())
        for part in ("dora_scale", "magnitude"):
            if part in self._parts:
                return Decomposed(added, self._tensor(part), of_sum=part == "magnitude")
        return added

    def _rotation(self) -> WeightPatch | None:
        if len(self._weights.shape(self._parts["oft_blocks"])) != 3:  # 4 in BOFT
            return None
        blocks = self._tensor("oft_blocks")
        if blocks.shape[1] != blocks.shape[2]:
            raise self._bad(problem=f"has blocks {tuple(blocks.shape)}, which are not square")
        return Rotated(blocks, self._alpha() or 0.0)

    def _delta(self) -> Delta | None:
        parts = self._parts
        if "glora_a1" in parts:
            return Generalized(
                *(self._factor(f"glora_{part}") for part in ("a1", "a2", "b1", "b2"))
            )
        if any(part.startswith("lokr_") for part in parts):
            return self._kronecker()
        if "hada_w1_a" in parts:
            factors = [self._factor(f"hada_{part}") for part in ("w1_a", "w1_b", "w2_a", "w2_b")]
            cores = ("hada_t1", "hada_t2") if "hada_t1" in parts else ()
            return Hadamard(*factors, *(self._factor(core, dims=4) for core in cores))
        if "up" in parts or "down" in parts:
            mid = self._factor("mid", dims=4) if "mid" in parts else None
            return LowRank(self._factor("up"), self._factor("down"), mid)
        return None

    def _kronecker(self) -> Kronecker:
        core = "lokr_t2" in self._parts and "lokr_w2" not in self._parts
        t2 = self._factor("lokr_t2", dims=4) if core else None
        return Kronecker(*self._side("lokr_w1"), *self._side("lokr_w2"), t2)

    def _side(self, side: str) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        if side in self._parts:
            return self._factor(side), None, None
        return None, self._factor(f"{side}_a"), self._factor(f"{side}_b")

    def _alpha(self) -> float | None:
        if "alpha" not in self._parts:
            return None
        alpha = self._tensor("alpha")
        if alpha.numel() != 1:
            raise self._bad(problem=f"has an alpha of {alpha.numel()} numbers")
        return float(alpha)

    def _factor(self, part: str, *, dims: int = 2) -> Tensor:
        tensor = self._tensor(part)
        if tensor.dim() < dims:
            raise self._bad(problem=f"has a part {part!r} of shape {tuple(tensor.shape)}")
        return tensor

    def _tensor(self, part: str) -> Tensor:
        """A copy that outlives the file."""
        if part not in self._parts:
            raise self._bad(problem=f"lacks its part {part!r}")
        tensor = self._weights[self._parts[part]].clone()
        self.read.add(part)
        self.size += tensor.nbytes
        return tensor

    def _bad(self, *, problem: str) -> BadModelFile:
        return self._weights.bad(problem=f"the change to {self._stem!r} {problem}")
