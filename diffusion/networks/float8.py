"""Linear layers whose weights are kept in 8 or 16 bits, and cast each time they are used."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)
# What files call the number that a layer's 8-bit weight is multiplied by.
SCALES = ("scale_weight", "weight_scale")


class CastLinear(nn.Linear):
    """A linear layer with a narrow weight. What it stands for is `weight * scale`."""

    scale: Tensor | None

    def __init__(self, like: nn.Linear) -> None:
        bias = like.bias is not None
        super().__init__(like.in_features, like.out_features, bias=bias, device="meta")
        self.register_buffer("scale", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)
        if self.scale is not None:
            weight = weight * self.scale.to(x.dtype)
        return functional.linear(x, weight, self.bias)


def keep_narrow(module: nn.Module, layers: Mapping[str, Tensor | None]) -> None:
    """Let the linear layers of these names, each with its scale, take narrow weights."""
    for name, scale in layers.items():
        parent, _, child = name.rpartition(".")
        layer = CastLinear(module.get_submodule(name))  # type: ignore[arg-type]
        layer.scale = scale
        setattr(module.get_submodule(parent), child, layer)


def linear_layers(module: nn.Module) -> set[str]:
    """The names of all linear layers."""
    return {name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}


class TrueWeights(Mapping[str, Tensor]):
    """The parameters of a module by name, times their scales where layers have some."""

    def __init__(self, module: nn.Module) -> None:
        self._parameters: dict[str, Tensor] = dict(module.named_parameters())
        self._scales = {
            f"{name}.weight": layer.scale
            for name, layer in module.named_modules()
            if isinstance(layer, CastLinear) and layer.scale is not None
        }

    def __getitem__(self, name: str) -> Tensor:
        weight = self._parameters[name]
        scale = self._scales.get(name)
        return weight if scale is None else weight.float() * scale

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def stored(self, name: str, tensor: Tensor) -> Tensor:
        """`tensor` as the parameter of that name is kept."""
        scale = self._scales.get(name)
        return tensor if scale is None else (tensor / scale).to(self._parameters[name].dtype)
