"""The toy's network, how it is loaded and how it is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from diffusion.batch.calls import Calls, Limits, denoised_by, times_of
from diffusion.batch.frame import Frame
from diffusion.batch.parts import Part
from diffusion.batch.preparation import batched
from diffusion.batch.prompts import Embedding
from diffusion.batch.rows import Row
from diffusion.families.family import Family, Found, LoadedModel, Loading
from diffusion.latent_format import LatentFormat
from diffusion.networks.filling import copied, fill
from diffusion.networks.weight_names import UNET_PREFIXES, Names, flat
from diffusion.parameterization import Parameterization
from diffusion.weights import Weights
from graph.values import Condition
from tests.diffusion.toy_family.text import TEXT

FLOW = Parameterization("flow", shift=2.0)
PICTURES = LatentFormat(4, scale=0.5)
VIDEOS = LatentFormat(4, scale=0.5, frames=4)


@dataclass(frozen=True)
class Shape:
    """Channels of the latent, and the width of the text."""

    in_channels: int
    context_dim: int


class Toy(nn.Module):
    """Velocity of a latent [N, C, ...]: a mix of its channels, the text and the time."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.toy_mix = nn.Linear(shape.in_channels + shape.context_dim + 1, shape.in_channels)

    def forward(self, x: Tensor, times: Tensor, text: Tensor) -> Tensor:
        said = torch.cat([text, times[:, None] / 1000], dim=1)
        beside = said.reshape(len(x), -1, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
        mixed: Tensor = self.toy_mix(torch.cat([x, beside], dim=1).movedim(1, -1))
        return mixed.movedim(-1, 1)


class ToyDenoiser:
    """Asks the network: one call for all rows of one size."""

    def __init__(self, model: LoadedModel, limits: Limits) -> None:
        self._module = model.module
        self._calls = Calls(bytes_per_pixel=64, limits=limits)

    def limit(self, *size: int) -> int:
        return self._calls.limit(*size)

    def forget(self) -> None: ...

    @torch.inference_mode()
    def __call__(self, rows: Sequence[Row]) -> list[Tensor]:
        sizes: dict[torch.Size, list[Row]] = {}
        for row in rows:
            sizes.setdefault(row.x.shape[1:], []).append(row)
        return self._calls.answers(rows, sizes.values(), self._predict)

    def _predict(self, parts: list[Part]) -> list[Tensor]:
        xs = [part.of(part.row.x) for part in parts]
        texts = [part.of(part.row.prompt.embedding.context.mean(1)) for part in parts]
        return denoised_by(
            self._module(torch.cat(xs), times_of(parts), torch.cat(texts)), parts, xs
        )


@dataclass(frozen=True)
class ToyNames(Names):
    """The toy's parameters, for LoRAs."""

    names: tuple[str, ...]

    def parameters(self) -> Mapping[str, str]:
        return {flat(name.removesuffix(".weight")): name for name in self.names}

    def stems(self, stem: str) -> list[str]:
        return [flat(stem.removeprefix(p)) for p in UNET_PREFIXES if stem.startswith(p)]


def _read(weights: Weights) -> Shape | None:
    if "toy_mix.weight" not in weights:
        return None
    channels, width = weights.shape("toy_mix.weight")
    return Shape(channels, width - channels - 1)


def _load(found: Found, loading: Loading, *, latent: LatentFormat) -> LoadedModel:
    with torch.device("meta"):
        module = Toy(found.shape)
    part = found.part
    tensors = {
        name: copied(part[name], loading.dtype, loading.device)
        for name, _ in module.named_parameters()
        if name in part
    }
    fill(module, part, tensors)
    size = sum(parameter.nbytes for parameter in module.parameters())
    return LoadedModel(found.family, module, found.shape, FLOW, latent, loading.dtype, size)


def _embed(_model: LoadedModel, condition: Condition, _name: str, frame: Frame) -> Embedding:
    return Embedding(batched(condition.tokens, frame))


def _blank(shape: Shape) -> Condition:
    return Condition(torch.zeros(1, 1, shape.context_dim), None)


FAMILY = Family(
    name="toy",
    read=_read,
    load=partial(_load, latent=PICTURES),
    parameterization=lambda _found: FLOW,
    denoiser=ToyDenoiser,
    embed=_embed,
    blank=_blank,
    weight_names=lambda _shape, names: ToyNames(names),
    text=TEXT,
)
VIDEO = replace(FAMILY, load=partial(_load, latent=VIDEOS))
