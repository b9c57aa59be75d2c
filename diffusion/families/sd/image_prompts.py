"""Image prompts in a U-Net: extra cross attention for each row.

Rows of one call may go by different pictures, or by none. (ComfyUI_IPAdapter_plus:
CrossAttentionPatch.py, ipadapter_attention)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.batch.noise_levels import PercentSchedule
from diffusion.batch.parts import Part
from diffusion.batch.rows import RowImage
from diffusion.families.family import LoadedModel
from diffusion.families.sd.attention import cross_attention_layers
from diffusion.families.sd.image_weights import Block, Place, Roles, Share, Tokens, share_of
from diffusion.vision.ip_adapter import ImageLayers, fitted
from graph.errors import BadModelFile
from graph.image_prompts import ImagePrompt
from graph.values import ModelFile

FULL_WIDTH = 1280  # of a layer that the "C penalty" leaves alone
ORDER: Mapping[str, Block] = {"down": "input", "mid": "middle", "up": "output"}


@dataclass(frozen=True, eq=False)
class ImageLayer:
    """One cross attention layer, as far as an image prompt goes."""

    number: int  # of its weights in an IP-Adapter's file
    share: Share | None


@dataclass(frozen=True, eq=False)
class JobImage:
    """One image prompt in one job of `batch` pictures. Used by the thread that steps."""

    prompt: ImagePrompt
    weights: ImageLayers
    layers: Mapping[str, ImageLayer]  # by place
    batch: int
    first_sigma: float  # applies while first_sigma >= sigma >= last_sigma
    last_sigma: float
    frames: tuple[int, ...] | None = None  # those of the batch that it is for; None is all
    _known: dict[tuple[int, Tokens], tuple[Tensor, Tensor]] = field(default_factory=dict)
    _masks: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    def applies(self, sigma: float) -> bool:
        return self.last_sigma <= sigma <= self.first_sigma

    def of_frames(self, frames: tuple[int, ...]) -> "JobImage":
        """The same for some of the job's latents."""
        return replace(self, frames=frames, _known={}, _masks={})

    def keys_and_values(self, number: int, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """[1, T, C] for all pictures of the job, or [B, T, C]."""
        if (number, tokens) not in self._known:
            to_k, to_v = self.weights.weights[number]
            read = self._tokens(tokens).to(to_k.device, to_k.dtype)
            self._known[number, tokens] = (
                functional.linear(read, to_k),
                functional.linear(read, to_v),
            )
        return self._known[number, tokens]

    def _tokens(self, tokens: Tokens) -> Tensor:
        found = {
            "positive": self.prompt.positive,
            "negative": self.prompt.negative,
            "composition": self.prompt.composition,
            "zeros": None,
        }[tokens]
        if found is None:
            positive = torch.as_tensor(self.prompt.positive)
            found = torch.zeros_like(positive) if tokens == "zeros" else positive
        found = torch.as_tensor(found)
        if not self.prompt.use.per_picture:
            return found.flatten(0, 1)[None]
        return self._own(fitted(found, self.batch))

    def _own(self, tensor: Tensor) -> Tensor:
        return tensor if self.frames is None else tensor[list(self.frames)]

    def mask(self, size: tuple[int, int], length: int) -> Tensor | None:
        """[B, T, 1] over the T tokens that a layer has of latents of `size`; None is everywhere."""
        mask = self.prompt.use.mask
        if mask is None:
            return None
        key = (*size, length)
        if key not in self._masks:
            tokens = over_tokens(torch.as_tensor(mask), size, length)
            self._masks[key] = self._own(fitted(tokens, self.batch))
        return self._masks[key]


def over_tokens(mask: Tensor, size: tuple[int, int], length: int) -> Tensor:
    """A mask [B, H, W] over as many tokens as a layer has; [B, T, 1]."""
    height = int(size[0] / math.sqrt(size[0] * size[1] / length))
    height = min(height + int(length % height != 0), length)
    width = length // height
    small = functional.interpolate(mask.float().unsqueeze(1), size=(height, width), mode="bilinear")
    flat = small.flatten(1)
    missing = length - flat.shape[1]  # of long and narrow pictures
    before = missing // 2 if missing > 0 else -((-missing) // 2)
    return functional.pad(flat, (before, missing - before)).unsqueeze(-1)


@dataclass(frozen=True, eq=False)
class CallImages:
    """The image prompts of one call of the network."""

    entries: tuple[tuple[slice, slice, RowImage], ...]  # pictures of the call, of the job
    size: tuple[int, int]  # of the latents

    def added(self, place: str, heads: int, queries: Tensor, attended: Tensor) -> Tensor:
        """`attended` [N, T, C] of the layer at `place`, with what its queries see in pictures."""
        for here, own, row in self.entries:
            image = cast(JobImage, row.image)
            layer = image.layers[place]
            if layer.share is None:
                continue
            keys, values = _own(row, layer.number, layer.share, own)
            seen = _seen(row, layer.share, queries[here], (keys, values), heads)
            mask = image.mask(self.size, queries.shape[1])
            if mask is not None:
                seen = seen * mask[own].to(seen.device, seen.dtype)
            attended[here] = attended[here] + seen
        return attended


def _own(row: RowImage, number: int, share: Share, own: slice) -> tuple[Tensor, Tensor]:
    """The keys and values of some pictures of a job."""
    tokens = share.negative if row.negative else share.positive
    keys, values = cast(JobImage, row.image).keys_and_values(number, tokens)
    return (keys[own], values[own]) if len(keys) > 1 else (keys, values)


def _seen(
    row: RowImage, share: Share, queries: Tensor, pictures: tuple[Tensor, Tensor], heads: int
) -> Tensor:
    keys, values = pictures
    scaling = cast(JobImage, row.image).prompt.use.scaling
    weight = share.weight
    if scaling.endswith("C penalty"):
        weight *= keys.shape[-1] / FULL_WIDTH
    if scaling == "V only":
        return _attention(queries, keys, values, heads) * weight
    if scaling.startswith("K+mean"):
        mean = values.mean(dim=1, keepdim=True)
        return _attention(queries, keys * weight, values - mean + mean * weight, heads)
    return _attention(queries, keys * weight, values * weight, heads)


def _attention(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    count = len(queries)
    q, k, v = (
        tensor.expand(count, -1, -1).reshape(count, tensor.shape[1], heads, -1).transpose(1, 2)
        for tensor in (queries, keys, values)
    )
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def call_images(parts: Sequence[Part], size: tuple[int, int]) -> CallImages | None:
    """The image prompts of the rows of a call; None where none of them has any."""
    entries = []
    start = 0
    for part in parts:
        here = slice(start, start + part.count)
        entries += [(here, slice(part.start, part.stop), row) for row in part.row.images]
        start = here.stop
    return CallImages(tuple(entries), size) if entries else None


def prepare_image(
    prompt: ImagePrompt,
    weights: ImageLayers,
    model: LoadedModel,
    sampling: PercentSchedule,
    batch: int,
    *,
    roles: Roles,
) -> JobImage:
    """An image prompt applied to a model, for a job of `batch` pictures.

    Raises:
        BadModelFile: the IP-Adapter is made for another U-Net.
    """
    _check_fit(prompt.file, weights, model)
    layers = {
        name: ImageLayer(number, share_of(prompt.use, place, roles))
        for name, (number, place) in places_of(model.module).items()
    }
    ends = (prompt.use.start_percent, prompt.use.end_percent)
    start, end = map(sampling.percent_to_sigma, ends)
    return JobImage(prompt, weights, layers, batch, start, end)


def places_of(unet: nn.Module) -> dict[str, tuple[int, Place]]:
    """Every cross attention layer: its number in an IP-Adapter, and its transformer's place."""
    crossing = list(cross_attention_layers(unet))
    order = list(ORDER)
    transformers = sorted(
        dict.fromkeys(_transformer(name) for name in crossing),
        key=lambda name: order.index(name.partition("_")[0]),
    )
    indices = {name: index for index, name in enumerate(transformers)}
    return {
        name: (
            number,
            Place(indices[_transformer(name)], ORDER[name.partition("_")[0]], len(transformers)),
        )
        for number, name in enumerate(crossing)
    }


def _transformer(name: str) -> str:
    return name.partition(".transformer_blocks")[0]


def _check_fit(file: ModelFile, weights: ImageLayers, unet: LoadedModel) -> None:
    layers = cross_attention_layers(unet.module).values()
    wanted = [layer.to_q.out_features for layer in layers]
    given = [k.shape[0] for k, _ in weights.weights]
    if wanted != given:
        problem = (
            f"it is an IP-Adapter for a U-Net of {len(given)} other cross attention layers than "
            f"this model's {len(wanted)}"
        )
        raise BadModelFile(file.folder, file.name, problem)
