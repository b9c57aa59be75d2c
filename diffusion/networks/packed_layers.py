"""Layers whose weights stay packed and are unpacked on each use.

A change to a weight of at most 8 bits is not written into it, where it would be rounded: the layer
keeps it, and makes it of the unpacked weight.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.packing.packed import Packed, Plain

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
# The weight [out, in] in float32, changed.
WeightChange: TypeAlias = Callable[[Tensor], Tensor]


class PackedWeight(nn.Module):
    """A layer with a packed weight. Its parameter `weight` has the data, buffers the scales."""

    weight: Tensor
    changes: tuple[WeightChange, ...]

    def keep(self, packed: Packed) -> None:
        """Let `packed` be its weight."""
        self.weight = nn.Parameter(packed.data, requires_grad=False)
        self._scales = tuple(f"scale_{i}" for i in range(len(packed.scales)))
        for name, scale in zip(self._scales, packed.scales, strict=True):
            self.register_buffer(name, scale, persistent=False)
        self._shape, self._form = packed.shape, packed.form
        self.changes = ()

    @property
    def packing(self) -> Hashable:
        """What tells how it is packed."""
        return self._form, self._shape, self.weight.dtype

    @property
    def packed(self) -> Packed:
        """Its weight without changes."""
        scales = tuple(self.get_buffer(name) for name in self._scales)
        return Packed(self._shape, self.weight.data, scales, self._form)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """Its weight under its changes."""
        if not self.changes:
            return self.packed.dense(dtype)
        weight = self.packed.dense(torch.float32)
        for change in self.changes:
            weight = change(weight)
        return weight.to(dtype)


class PackedLinear(PackedWeight, nn.Linear):
    """`like`, with a packed weight."""

    def __init__(self, like: nn.Linear, packed: Packed) -> None:
        bias = like.bias is not None
        nn.Linear.__init__(self, like.in_features, like.out_features, bias=bias, device="meta")
        self.keep(packed)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.unpacked(x.dtype), self.bias)


class PackedEmbedding(PackedWeight, nn.Embedding):
    """A table whose rows are unpacked one by one."""

    def __init__(self, like: nn.Embedding, packed: Packed) -> None:
        nn.Embedding.__init__(self, like.num_embeddings, like.embedding_dim, device="meta")
        self.keep(packed)

    def forward(self, ids: Tensor) -> Tensor:
        """[..., width] in float32."""
        if self.changes:
            return functional.embedding(ids, self.unpacked(torch.float32))
        rows = self.packed.picked(ids.flatten(), torch.float32)
        return rows.reshape(*ids.shape, -1)


def pack_layer(module: nn.Module, name: str, packed: Packed) -> None:
    """Let the linear layer or the table of that name have a packed weight. It keeps its bias."""
    parent, _, child = name.rpartition(".")
    layer = module.get_submodule(name)
    own: PackedLinear | PackedEmbedding
    if isinstance(layer, nn.Linear):
        own = PackedLinear(layer, packed)
        own.bias = layer.bias
    else:
        assert isinstance(layer, nn.Embedding)
        own = PackedEmbedding(layer, packed)
    own.train(layer.training)
    setattr(module.get_submodule(parent), child, own)


def linear_layers(module: nn.Module) -> set[str]:
    """The names of all linear layers."""
    return {name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}


def narrow_layers(module: nn.Module) -> dict[str, PackedWeight]:
    """By the names of their weights, the layers that keep changes beside these."""
    return {
        f"{name}.weight": layer
        for name, layer in module.named_modules()
        if isinstance(layer, PackedWeight) and layer.packed.narrow
    }


class TrueWeights(Mapping[str, Tensor]):
    """The parameters of a module by name; packed ones as the numbers they stand for."""

    def __init__(self, module: nn.Module) -> None:
        self._parameters: dict[str, Tensor] = dict(module.named_parameters())
        self.narrow = narrow_layers(module)

    def __getitem__(self, name: str) -> Tensor:
        layer = self.narrow.get(name)
        return self._parameters[name] if layer is None else layer.unpacked(torch.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)


def plain(weight: Tensor) -> Packed:
    """A matrix in its own precision."""
    return Packed(tuple(weight.shape), weight, (), Plain())


def tensors_in(change: Any) -> Iterator[Tensor]:
    """What a change is made of."""
    if isinstance(change, Tensor):
        yield change
    elif is_dataclass(change) and not isinstance(change, type):
        for field in fields(change):
            yield from tensors_in(getattr(change, field.name))
    elif isinstance(change, tuple | list):
        for one in change:
            yield from tensors_in(one)


def moved(change: Any, device: torch.device) -> Any:
    """A change with its tensors on a device."""
    if isinstance(change, Tensor):
        return change.to(device)
    if is_dataclass(change) and not isinstance(change, type):
        own = {f.name: moved(getattr(change, f.name), device) for f in fields(change) if f.init}
        return replace(change, **own)
    if isinstance(change, tuple):
        return tuple(moved(one, device) for one in change)
    return change
