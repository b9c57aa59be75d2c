"""Merges models weight by weight, with all weight changes in the order they were applied.

A merge is a change of kind "merge" with the options `other`, a model or text encoder with changes
of its own, and `shares`: (start of a weight's name, share of its own, share of the other's), of
which the longest start that fits a weight counts; names of U-Nets are LDM's.
(ComfyUI comfy_extras/nodes_model_merging.py; comfy/lora.py, calculate_weight.)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES, Families
from diffusion.lora.applying import LORA, Loras, OpenWeights, sharing_copy
from diffusion.networks.packed_layers import PackedWeight, TrueWeights, tensors_in
from diffusion.text.encoder import TextEncoder, load_text_encoder
from graph.values import Change, Clip, Model

MERGE = "merge"
SCALE = "scale"
MODEL_AS_LORA = "model_as_lora"  # options: file, strength
WEIGHT_CHANGES = (LORA, MERGE, SCALE, MODEL_AS_LORA)
Shares: TypeAlias = Sequence[tuple[str, float, float]]
Factors: TypeAlias = Sequence[tuple[str, float]]
NOT_MERGED = (".position_ids", ".logit_scale")  # of text encoders


class WeightChanges:
    """LoRAs and merges on models whose own weights are left alone. For several threads."""

    def __init__(
        self, open_weights: OpenWeights, loras: Loras, families: Families = FAMILIES
    ) -> None:
        self._open = open_weights
        self._families = families
        self._loras = loras

    def on_model(self, base: LoadedModel, changes: Sequence[Change]) -> LoadedModel:
        """`base` under changes. Its `size` is what it does not share with `base`.

        Raises:
            BadModelFile: a file is damaged, or made for another kind of model.
        """
        unet = base
        for kind, group in groupby(changes, key=lambda change: change.kind):
            if kind == LORA:
                unet = self._loras.on_model(unet, list(group))
            elif kind == SCALE:
                unet = self._scaled_model(unet, list(group))
            elif kind == MODEL_AS_LORA:
                for change in group:
                    unet = self._moved_model(unet, base, change)
            else:
                for change in group:
                    unet = self._merged_model(unet, change)
        return replace(unet, size=own_bytes(unet.module, base.module))

    def on_text_encoder(self, encoder: TextEncoder, changes: Sequence[Change]) -> TextEncoder:
        """As `on_model`, rounded to the precision in which ComfyUI keeps text encoders."""
        changed = self._changed_encoder(encoder, changes)
        pairs = zip(changed.parts, encoder.parts, strict=True)
        parts = tuple(replace(new, module=rounded(new.module, own.module)) for new, own in pairs)
        pairs = zip(parts, encoder.parts, strict=True)
        size = sum(own_bytes(new.module, own.module) for new, own in pairs)
        return replace(changed, parts=parts, size=size)

    def _changed_encoder(self, encoder: TextEncoder, changes: Sequence[Change]) -> TextEncoder:
        base = encoder
        for kind, group in groupby(changes, key=lambda change: change.kind):
            if kind == LORA:
                encoder = self._loras.on_text_encoder(encoder, list(group))
            elif kind == SCALE:
                for change in group:
                    encoder = scaled_encoder(encoder, change["factors"])
            elif kind == MODEL_AS_LORA:
                for change in group:
                    encoder = self._moved_encoder(encoder, base, change)
            else:
                for change in group:
                    encoder = self._merged_encoder(encoder, change)
        return encoder

    def _merged_model(self, unet: LoadedModel, change: Change) -> LoadedModel:
        other = self._other_model(change["other"], unet)
        theirs = unet.family.file_names(unet.shape)
        patched = merged(
            unet.module, other.module, change["shares"], lambda name: file_name(name, theirs)
        )
        warnings = (*unet.warnings, *other.warnings)
        module: Any = sharing_copy(unet.module, patched)
        return replace(unet, module=module, warnings=warnings)

    def _other_model(self, model: Model, like: LoadedModel) -> LoadedModel:
        weights = self._open(model.file)
        own = computing(like.module)
        other = self._families.load(weights, dtype=own.dtype, device=own.device)
        if other.family is not like.family:
            problem = (
                f"its model is of the family {other.family.name}, and cannot merge with one of "
            )
            raise weights.bad(problem=problem + like.family.name)
        changes = [change for change in model.changes if change.kind in WEIGHT_CHANGES]
        return self.on_model(other, changes) if changes else other

    def _scaled_model(self, unet: LoadedModel, changes: Sequence[Change]) -> LoadedModel:
        if not unet.family.scales_attention:
            return unet
        module: Any = unet.module
        for change in changes:
            module = scaled(module, change["factors"])
        return replace(unet, module=module)

    def _moved_model(self, unet: LoadedModel, base: LoadedModel, change: Change) -> LoadedModel:
        """`unet` moved by what a checkpoint differs by from `base`."""
        other = self._other_model(Model(change["file"]), base)
        patched = moved_towards(unet.module, base.module, other.module, change["strength"])
        module: Any = sharing_copy(unet.module, patched)
        return replace(unet, module=module, warnings=(*unet.warnings, *other.warnings))

    def _moved_encoder(
        self, encoder: TextEncoder, base: TextEncoder, change: Change
    ) -> TextEncoder:
        other = self._other_encoder(Clip((change["file"],)), base)
        theirs = {part.name: part.module for part in other.parts}
        parts = []
        for part, own in zip(encoder.parts, base.parts, strict=True):
            module = part.module
            if part.name in theirs:
                patched = moved_towards(module, own.module, theirs[part.name], change["strength"])
                module = sharing_copy(module, patched)
            parts.append(replace(part, module=module))
        return replace(encoder, parts=tuple(parts), warnings=(*encoder.warnings, *other.warnings))

    def _merged_encoder(self, encoder: TextEncoder, change: Change) -> TextEncoder:
        other = self._other_encoder(change["other"], encoder)
        theirs = {part.name: part.module for part in other.parts}
        parts = []
        for part in encoder.parts:
            module = part.module
            if part.name in theirs:
                patched = merged(module, theirs[part.name], change["shares"], str)
                module = sharing_copy(module, patched)
            parts.append(replace(part, module=module))
        return replace(encoder, parts=tuple(parts), warnings=(*encoder.warnings, *other.warnings))

    def _other_encoder(self, clip: Clip, like: TextEncoder) -> TextEncoder:
        own = computing(like.parts[0].module)
        other = load_text_encoder(
            [self._open(file) for file in clip.files],
            like.tokenizers,
            self._families.texts,
            dtype=own.dtype,
            device=own.device,
            kind=clip.kind,
        )
        return self._changed_encoder(other, clip.changes) if clip.changes else other


@torch.no_grad()
def merged(
    module: nn.Module, other: nn.Module, shares: Shares, named: Callable[[str], str]
) -> dict[str, Tensor]:
    """The parameters of `module` that a merge with `other` changes, in their own precision.

    Packed ones are in the one in which the module computes, then.
    A weight of which the other has none stays as it is; where the shapes differ, as for the first
    layer of an inpainting model, it has its own share alone, as in ComfyUI.
    """
    ours, theirs = TrueWeights(module), TrueWeights(other)
    wide = computing(module).dtype
    patched = {}
    for name, weight in ours.items():
        own, others = share_of(named(name), shares)
        if name not in theirs or name.endswith(NOT_MERGED) or (own, others) == (1.0, 0.0):
            continue
        total = weight.float() * own
        if theirs[name].shape == weight.shape:
            total = total + theirs[name].float() * others
        patched[name] = total.to(wide if name in ours.narrow else weight.dtype)
    return patched


@torch.no_grad()
def moved_towards(
    module: nn.Module, base: nn.Module, other: nn.Module, strength: float
) -> dict[str, Tensor]:
    """The parameters of `module` with so much of what `other` differs by from `base`.

    A weight of which the other has none, or one of another shape, stays as it is.
    """
    ours, own, theirs = TrueWeights(module), TrueWeights(base), TrueWeights(other)
    wide = computing(module).dtype
    patched = {}
    for name, weight in ours.items():
        if name not in theirs or theirs[name].shape != own[name].shape:
            continue
        total = weight.float() + strength * (theirs[name].float() - own[name].float())
        patched[name] = total.to(wide if name in ours.narrow else weight.dtype)
    return patched


@torch.no_grad()
def scaled(module: nn.Module, factors: Factors) -> Any:
    """A copy of `module` whose layers of these names are multiplied, biases too."""
    weights, wide = TrueWeights(module), computing(module).dtype
    patched = {}
    for name, weight in weights.items():
        layer = name.rpartition(".")[0]
        factor = next((factor for end, factor in factors if layer.endswith(end)), 1.0)
        if factor != 1.0:
            dtype = wide if name in weights.narrow else weight.dtype
            patched[name] = (weight.float() * factor).to(dtype)
    return sharing_copy(module, patched)


@torch.no_grad()
def rounded(module: nn.Module, base: nn.Module) -> Any:
    """A copy of `module` whose float32 parameters that are not those of `base` are as float16's."""
    shared = {id(parameter) for parameter in base.parameters()}
    patched = {
        name: parameter.half().float()
        for name, parameter in module.named_parameters()
        if id(parameter) not in shared and parameter.dtype == torch.float32
    }
    return sharing_copy(module, patched)


def scaled_encoder(encoder: TextEncoder, factors: Factors) -> TextEncoder:
    """As `scaled`, in every part."""
    parts = (replace(part, module=scaled(part.module, factors)) for part in encoder.parts)
    return replace(encoder, parts=tuple(parts))


def share_of(name: str, shares: Shares) -> tuple[float, float]:
    """The shares of the longest start that fits a name; one of `shares` is for any name, ""."""
    fitting = [share for share in shares if name.startswith(share[0])]
    _, own, other = max(fitting, key=lambda share: len(share[0]))
    return own, other


def computing(module: nn.Module) -> Tensor:
    """A parameter in the precision that a module computes in: the last one that is not packed."""
    packed = {id(own.weight) for own in module.modules() if isinstance(own, PackedWeight)}
    return [own for own in module.parameters() if id(own) not in packed][-1]


def file_name(name: str, modules: Mapping[str, str]) -> str:
    """The file's name of diffusers' parameter `name`, by the modules' names in `modules`."""
    start = name
    while start and start not in modules:
        start = start.rpartition(".")[0]
    return modules[start] + name.removeprefix(start) if start else name


def own_bytes(module: nn.Module, base: nn.Module) -> int:
    """What the parameters of `module`, and changes of packed ones, take that `base` has not."""
    shared = {id(tensor) for tensor in _held(base)}
    held = {id(tensor): tensor.nbytes for tensor in _held(module)}
    return sum(size for tensor, size in held.items() if tensor not in shared)


def _held(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    for layer in module.modules():
        if isinstance(layer, PackedWeight):
            yield from tensors_in(layer.changes)
