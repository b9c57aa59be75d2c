"""Models that differ in some layers, in one call: each row goes through its own model's layers.

What a LoRA changes has weights of its own; all other layers, attention itself and whatever has no
weights take all rows at once. So a row meets the very weights that it meets in a call of its model.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from diffusion.batch.parts import Part
from diffusion.networks.convolutions import HostConv2d
from diffusion.networks.packed_layers import PackedLinear, PackedWeight

# Of one tensor [rows, ...]; what each row of it becomes depends on that row alone.
BY_ROW = (nn.Linear, nn.Conv2d, HostConv2d, PackedLinear, nn.LayerNorm, nn.GroupNorm)
OwnLayers: TypeAlias = Mapping[str, nn.Module]
NONE: OwnLayers = {}


class RowsUnknownError(RuntimeError):
    """A layer that was not given the rows of its call, so it is not known whose they are."""

    def __init__(self, layer: str, given: int, rows: int) -> None:
        super().__init__(f"{layer} was given {given} of {rows} rows")


def own_layers(module: nn.Module, base: nn.Module) -> OwnLayers | None:
    """The layers whose weights `module`, else a copy of `base`, has for itself.

    None where they are of kinds that rows cannot go through apart from each other.
    """
    theirs = dict(base.named_modules())
    own = {name: layer for name, layer in module.named_modules() if not _same(layer, theirs[name])}
    alike = (
        type(layer) in BY_ROW and _shapes(layer) == _shapes(theirs[name])
        for name, layer in own.items()
    )
    return own if all(alike) else None


def _same(layer: nn.Module, other: nn.Module) -> bool:
    packed = isinstance(layer, PackedWeight) and isinstance(other, PackedWeight)
    if packed and (layer.weight is not other.weight or layer.changes != other.changes):
        return False
    mine, theirs = (list(one.parameters(recurse=False)) for one in (layer, other))
    return len(mine) == len(theirs) and all(map(lambda a, b: a is b, mine, theirs))


def _shapes(layer: nn.Module) -> list[torch.Size]:
    return [parameter.shape for parameter in layer.parameters(recurse=False)]


@dataclass(eq=False)
class RowScope:
    """Whose rows a network is being called with. For one thread at a time.

    It knows no network, so that none outlives its last use in a circle of references.
    """

    own: Mapping[int, OwnLayers] = field(default_factory=dict)  # by the id of a row
    _runs: Sequence[tuple[OwnLayers, int]] = ()  # in the order of the call, and how many pictures

    @contextmanager
    def __call__(self, parts: Sequence[Part]) -> Iterator[None]:
        """Within, the network is called with these pictures, in order."""
        before = self._runs
        owned = [(self.own.get(id(part.row), NONE), part.count) for part in parts]
        self._runs = [
            (some[0][0], sum(count for _, count in some))
            for _, group in groupby(owned, key=lambda pair: id(pair[0]))
            for some in [list(group)]
        ]
        try:
            yield
        finally:
            self._runs = before

    def through(self, name: str, base: Any, x: Tensor) -> Tensor:
        """What the layer `name` makes of `x`; `base` is what rows without an own one go through.

        Raises:
            RowsUnknownError: it was given other rows than the call has.
        """
        layers = [own.get(name, base) for own, _ in self._runs]
        if not layers or all(layer is layers[0] for layer in layers):
            whole: Tensor = (layers or [base])[0](x)
            return whole
        counts = [count for _, count in self._runs]
        if len(x) != sum(counts):
            raise RowsUnknownError(name, len(x), sum(counts))
        rows = torch.split(x, counts)
        return torch.cat([layer(some) for layer, some in zip(layers, rows, strict=True)])


def divide(module: nn.Module, scope: RowScope) -> None:
    """Let rows go through the layers of `module`, which nobody else has, as `scope` says."""
    for name, layer in module.named_modules():
        if type(layer) in BY_ROW:
            layer.forward = partial(scope.through, name, layer.forward)
