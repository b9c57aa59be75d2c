"""Applies LoRAs to models: copies that share unchanged weights with their base.

A base is never written to. A model under LoRAs has tensors of its own for the weights they change
and the base's for all others, so models under several sets of LoRAs run side by side, and taking
a set off is forgetting it.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from diffusion.families.family import LoadedModel
from diffusion.lora.file import Lora, read_lora
from diffusion.lora.keys import ClipNames
from diffusion.lora.weight_patches import MismatchError, WeightPatch
from diffusion.memory.cache import ModelCache
from diffusion.networks.packed_layers import (
    PackedWeight,
    TrueWeights,
    WeightChange,
    moved,
    plain,
    tensors_in,
)
from diffusion.networks.weight_names import Names
from diffusion.text.clip_layout import PartName
from diffusion.text.encoder import TextEncoder
from diffusion.weights import Weights
from graph.errors import BadModelFile
from graph.values import Change, ModelFile

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
Applied: TypeAlias = tuple[Lora, float]  # at a strength
M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")
UNCHANGED: Mapping[str, tuple[WeightChange, ...]] = {}

WIDER = "makes it wider, which only the first layer of some models may become"
LORA = "lora"  # the kind of change; options: file, strength


class Loras:
    """LoRA files in host memory, within `budget_bytes`. Safe to use from several threads."""

    def __init__(self, open_weights: OpenWeights, *, budget_bytes: int) -> None:
        self._open = open_weights
        self._files: ModelCache[Hashable, Lora] = ModelCache(budget_bytes, lambda lora: lora.size)

    def on_model(self, base: LoadedModel, changes: Sequence[Change]) -> LoadedModel:
        """`base` under LoRAs. Its `size` is what it does not share with `base`.

        Raises:
            BadModelFile: a file is damaged, or made for another kind of model.
        """
        parameters = TrueWeights(base.module)
        names = base.family.weight_names(base.shape, tuple(parameters))
        made = self._made(parameters, names, changes, parameters.narrow)
        module: Any = sharing_copy(base.module, made.tensors, made.changes)
        return replace(
            base,
            module=module,
            shape=base.family.widened(base.shape, made.tensors),
            size=made.size,
            warnings=base.warnings + made.warnings,
        )

    def on_text_encoder(self, encoder: TextEncoder, changes: Sequence[Change]) -> TextEncoder:
        """As `on_model`."""
        own = {part.name: TrueWeights(part.module) for part in encoder.parts}
        parameters = _Joined(own)
        names = ClipNames(tuple((part, tuple(tensors)) for part, tensors in own.items()))
        narrow = {f"{part}.{name}" for part, tensors in own.items() for name in tensors.narrow}
        made = self._made(parameters, names, changes, narrow)
        parts = (
            replace(
                part,
                module=sharing_copy(
                    part.module,
                    _under(f"{part.name}.", made.tensors),
                    _under(f"{part.name}.", made.changes),
                ),
            )
            for part in encoder.parts
        )
        return replace(
            encoder,
            parts=tuple(parts),
            size=made.size,
            warnings=encoder.warnings + made.warnings,
        )

    def _made(
        self,
        parameters: Mapping[str, Tensor],
        names: Names,
        changes: Sequence[Change],
        narrow: Collection[str],
    ) -> "_Made":
        """The patched parameters; those that are `narrow` keep their patches beside them."""
        tensors: dict[str, Tensor] = {}
        kept: dict[str, tuple[WeightChange, ...]] = {}
        with ExitStack() as leases:
            applied = [
                (leases.enter_context(self._lease(change["file"], names)), change["strength"])
                for change in changes
            ]
            for name in dict.fromkeys(name for lora, _ in applied for name in lora.patches):
                own = [(lora, strength) for lora, strength in applied if name in lora.patches]
                weight = parameters[name]
                changed = patched_weight(name, weight, own, widens=names.widens(name))
                if name in narrow and changed.shape == weight.shape:
                    kept[name] = tuple(_change(name, one, weight.device) for one in own)
                else:
                    tensors[name] = changed
            warnings = tuple(warning for lora, _ in applied for warning in lora.warnings)
        return _Made(tensors, kept, tuple(dict.fromkeys(warnings)))

    def _lease(self, file: ModelFile, names: Names) -> AbstractContextManager[Lora]:
        return self._files.lease((file, names), lambda: read_lora(self._open(file), names))


@dataclass(frozen=True, eq=False)
class _Made:
    """The parameters that are others under LoRAs, and what is applied to those that are not."""

    tensors: Mapping[str, Tensor]
    changes: Mapping[str, tuple[WeightChange, ...]]
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        applied = {id(one): one.nbytes for own in self.changes.values() for one in tensors_in(own)}
        return sum(applied.values()) + sum(tensor.nbytes for tensor in self.tensors.values())


class _Joined(Mapping[str, Tensor]):
    """The parameters of several modules, each named with its own's name before it."""

    def __init__(self, modules: Mapping[PartName, TrueWeights]) -> None:
        self._places = {
            f"{part}.{name}": (own, name) for part, own in modules.items() for name in own
        }

    def __getitem__(self, name: str) -> Tensor:
        own, inner = self._places[name]
        return own[inner]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _under(start: str, named: Mapping[str, T]) -> dict[str, T]:
    return {
        name.removeprefix(start): value for name, value in named.items() if name.startswith(start)
    }


@dataclass(frozen=True, eq=False)
class AppliedPatch:
    """What one file makes of one weight, at a strength."""

    patch: WeightPatch
    strength: float

    def __call__(self, weight: Tensor) -> Tensor:
        return self.patch(weight, self.strength)


def _change(name: str, applied: Applied, device: torch.device) -> AppliedPatch:
    lora, strength = applied
    return AppliedPatch(moved(lora.patches[name], device), strength)


@torch.no_grad()
def patched_weight(
    name: str, weight: Tensor, applied: Sequence[Applied], *, widens: bool = False
) -> Tensor:
    """The parameter `name` under LoRAs, in order: computed in float32, in its own precision.

    Raises:
        BadModelFile: one of them is for a weight of another shape.
    """
    changed = weight.float()
    for lora, strength in applied:
        patch = lora.patches.get(name)
        if patch is None:
            continue
        try:
            changed = patch(changed, strength)
            if changed.shape != weight.shape and not widens:
                raise MismatchError(WIDER)  # noqa: TRY301 - told like any other misfit
        except torch.OutOfMemoryError:
            raise
        except (MismatchError, RuntimeError, IndexError) as error:
            problem = f"its change to {name!r} {error}"
            raise BadModelFile(lora.file.folder, lora.file.name, problem) from error
    return changed.to(weight.dtype)


def sharing_copy(
    module: M,
    tensors: Mapping[str, Tensor],
    changes: Mapping[str, tuple[WeightChange, ...]] = UNCHANGED,
) -> M:
    """A copy of `module` that has `tensors` for the parameters of their names.

    Packed weights of the names in `changes` are used under these. All other parameters and buffers
    are the very ones of `module`.
    """
    memo: dict[int, object] = {id(buffer): buffer for buffer in module.buffers()}
    for name, parameter in module.named_parameters():
        own = tensors.get(name)
        memo[id(parameter)] = parameter if own is None else nn.Parameter(own, requires_grad=False)
    packed = {
        f"{name}.weight": layer
        for name, layer in module.named_modules()
        if isinstance(layer, PackedWeight)
    }
    memo |= {id(layer.changes): layer.changes for layer in packed.values()}
    copy = deepcopy(module, memo)
    for name in packed.keys() & (tensors.keys() | changes.keys()):
        layer = copy.get_submodule(name.removesuffix(".weight"))
        assert isinstance(layer, PackedWeight)
        if name in tensors:
            layer.keep(plain(tensors[name]))
        layer.changes = (*layer.changes, *changes.get(name, ()))
    return copy
