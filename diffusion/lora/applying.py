"""LoRAs laid on models: copies that share with their base whatever they do not change.

A base is never written to. A model under LoRAs has tensors of its own for the weights they change
and the base's for all others, so models under several sets of LoRAs run side by side, and taking
a set off is forgetting it.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from diffusion.families.family import LoadedModel
from diffusion.lora.file import Lora, read_lora
from diffusion.lora.keys import ClipNames
from diffusion.lora.weight_patches import MismatchError
from diffusion.memory.cache import ModelCache
from diffusion.networks.float8 import FLOAT8, TrueWeights
from diffusion.networks.weight_names import Names
from diffusion.text.encoder import TextEncoder
from diffusion.weights import Weights
from graph.errors import BadModelFile
from graph.values import Change, ModelFile

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
Laid: TypeAlias = tuple[Lora, float]  # at a strength
M = TypeVar("M", bound=nn.Module)

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
        made, warnings = self._patched(parameters, names, changes, _unrounded(base))
        patched = {name: parameters.stored(name, tensor) for name, tensor in made.items()}
        module: Any = sharing_copy(base.module, patched)
        shape = base.family.widened(base.shape, patched)
        return replace(
            base,
            module=module,
            shape=shape,
            size=sum(tensor.nbytes for tensor in patched.values()),
            warnings=base.warnings + warnings,
        )

    def on_text_encoder(self, encoder: TextEncoder, changes: Sequence[Change]) -> TextEncoder:
        """As `on_model`."""
        own = {part.name: TrueWeights(part.module) for part in encoder.parts}
        parameters = {
            f"{part}.{name}": tensor for part in own for name, tensor in own[part].items()
        }
        names = ClipNames(tuple((part, tuple(tensors)) for part, tensors in own.items()))
        patched, warnings = self._patched(parameters, names, changes)
        parts = []
        for part in encoder.parts:
            start = f"{part.name}."
            laid = {
                name: own[part.name].stored(name, tensor)
                for full, tensor in patched.items()
                if full.startswith(start) and (name := full.removeprefix(start))
            }
            parts.append(replace(part, module=sharing_copy(part.module, laid)))
        return replace(
            encoder,
            parts=tuple(parts),
            size=sum(tensor.nbytes for tensor in patched.values()),
            warnings=encoder.warnings + warnings,
        )

    def _patched(
        self,
        parameters: Mapping[str, Tensor],
        names: Names,
        changes: Sequence[Change],
        unrounded: torch.dtype | None = None,
    ) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """The changed parameters by name, and what is to be said of the files.

        Those of 8 bits become `unrounded`, where that is given.
        """
        with ExitStack() as leases:
            laid = [
                (leases.enter_context(self._lease(change["file"], names)), change["strength"])
                for change in changes
            ]
            touched = dict.fromkeys(name for lora, _ in laid for name in lora.patches)
            patched = {
                name: patched_weight(
                    name, parameters[name], laid, widens=names.widens(name), unrounded=unrounded
                )
                for name in touched
            }
            warnings = tuple(warning for lora, _ in laid for warning in lora.warnings)
        return patched, tuple(dict.fromkeys(warnings))

    def _lease(self, file: ModelFile, names: Names) -> AbstractContextManager[Lora]:
        return self._files.lease((file, names), lambda: read_lora(self._open(file), names))


def _unrounded(base: LoadedModel) -> torch.dtype | None:
    """What changed weights of 8 bits become: on a CPU, what the model computes in.

    So ComfyUI has it, which keeps no weights of 8 bits there. On a GPU memory is scarcer.
    """
    on_cpu = all(parameter.device.type == "cpu" for parameter in base.module.parameters())
    return base.dtype if on_cpu else None


@torch.no_grad()
def patched_weight(
    name: str,
    weight: Tensor,
    laid: Sequence[Laid],
    *,
    widens: bool = False,
    unrounded: torch.dtype | None = None,
) -> Tensor:
    """The parameter `name` under LoRAs, in order: computed in float32, in its own precision.

    One of 8 bits becomes `unrounded`, where that is given.

    Raises:
        BadModelFile: one of them is for a weight of another shape.
    """
    changed = weight.float()
    for lora, strength in laid:
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
    kept = weight.dtype if unrounded is None or weight.dtype not in FLOAT8 else unrounded
    return changed.to(kept)


def sharing_copy(module: M, tensors: Mapping[str, Tensor]) -> M:
    """A copy of `module` that has `tensors` for the parameters of their names.

    All other parameters and buffers are the very ones of `module`.
    """
    memo: dict[int, object] = {id(buffer): buffer for buffer in module.buffers()}
    for name, parameter in module.named_parameters():
        own = tensors.get(name)
        memo[id(parameter)] = parameter if own is None else nn.Parameter(own, requires_grad=False)
    return deepcopy(module, memo)
