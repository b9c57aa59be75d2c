"""IP-Adapter files (Ye et al. 2023): image projection and attention layers.

The layers come in the order of diffusers' attention processors: down, up, middle. Each stage keeps
the half that it needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.networks.filling import copied
from diffusion.weights import Weights
from graph.errors import ServiceError

SDXL_TEXT = 2048  # width of the text that SDXL reads
HEAD = 64  # channels of one head of a resampler
PROJECTIONS = ("image_proj.",)
LAYERS = ("ip_adapter.", "adapter_modules.")

Tensors = Mapping[str, Tensor]
Reads = Literal["image_embeds", "penultimate_hidden_states"]


@dataclass(eq=False)
class ImageEncoderMismatchError(ServiceError):
    """An IP-Adapter and an image encoder that do not belong together."""

    status = 422
    code = "image_encoder_mismatch"
    template = (
        "IP-Adapter {name} reads pictures as vectors of width {expected}; "
        "the image encoder gives {received}."
    )
    name: str
    expected: int
    received: int


@dataclass(frozen=True, eq=False)
class ImageProjection:
    """Makes tokens [B, T, D] of what an image encoder gives."""

    name: str
    tensors: Tensors
    width: int  # of the vectors that it reads
    reads: Reads
    project: Callable[[Tensors, Tensor], Tensor]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @torch.inference_mode()
    def __call__(self, seen: Tensor) -> Tensor:
        """Tokens of [B, P], or of [B, T, P]. Raises ImageEncoderMismatchError."""
        if seen.shape[-1] != self.width:
            raise ImageEncoderMismatchError(self.name, self.width, seen.shape[-1])
        like = next(iter(self.tensors.values()))
        return self.project(self.tensors, seen.to(like.device, like.dtype)).float().cpu()


def fitted(tensor: Tensor, batch: int) -> Tensor:
    """Cut to `batch` entries, or with the last repeated."""
    missing = max(0, batch - len(tensor))
    return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])[:batch]


@dataclass(frozen=True, eq=False)
class ImageLayers:
    """The keys' and values' weights of every cross attention layer: down, up, middle."""

    weights: tuple[tuple[Tensor, Tensor], ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(k.nbytes + v.nbytes for k, v in self.weights)


def load_projection(
    weights: Weights, *, dtype: torch.dtype, device: torch.device
) -> ImageProjection:
    """The half of an IP-Adapter that makes tokens of pictures.

    Raises:
        BadModelFile: there is none in it, or one of a kind that is not supported.
    """
    part = part_of(weights, PROJECTIONS)
    tensors = {key: copied(part[key], dtype, device) for key in part}
    reads: Reads = "penultimate_hidden_states"
    try:
        if "latents" in part:
            width, project = part.shape("proj_in.weight")[1], resampled
            _check_resampler(part)
        elif "proj.3.weight" in part:
            width, project = part.shape("proj.0.weight")[1], perceived
        else:
            width, project, reads = part.shape("proj.weight")[1], projected, "image_embeds"
            part.shape("norm.weight")
        _try(project, tensors, width)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise weights.bad(problem=f"its image projection is not whole: {error}") from error
    return ImageProjection(weights.file.name, tensors, width, reads, project)


def _try(project: Callable[[Tensors, Tensor], Tensor], tensors: Tensors, width: int) -> None:
    """Wrong shapes show before a picture comes."""
    shape = (1, width) if project is projected else (1, 2, width)
    like = next(iter(tensors.values()))
    project(tensors, torch.zeros(shape, dtype=like.dtype, device=like.device))


def _check_resampler(part: Weights) -> None:
    if part.shape("layers.0.0.to_q.weight")[0] % HEAD:
        problem = f"heads of {HEAD} channels do not fit {part.shape('layers.0.0.to_q.weight')}"
        raise ValueError(problem)


def part_of(weights: Weights, prefixes: tuple[str, ...]) -> Weights:
    """The tensors under the first of `prefixes` that there is. Raises BadModelFile: none is."""
    for prefix in prefixes:
        if part := weights.under(prefix):
            return part
    raise weights.bad(problem=f"no IP-Adapter in it: nothing is named {prefixes[0]}...")


def projected(tensors: Tensors, seen: Tensor) -> Tensor:
    """The base adapters': one linear layer makes all tokens of one vector [B, P]."""
    norm = tensors["norm.weight"]
    tokens = functional.linear(seen, tensors["proj.weight"], tensors["proj.bias"])
    return normed(tensors, "norm", tokens.reshape(len(seen), -1, len(norm)))


def perceived(tensors: Tensors, seen: Tensor) -> Tensor:
    """The full face adapters': every token [B, T, P] becomes one."""
    hidden = functional.linear(seen, tensors["proj.0.weight"], tensors["proj.0.bias"])
    hidden = functional.gelu(hidden)
    tokens = functional.linear(hidden, tensors["proj.2.weight"], tensors["proj.2.bias"])
    return normed(tensors, "proj.3", tokens)


def resampled(tensors: Tensors, seen: Tensor) -> Tensor:
    """The plus adapters': learned latents look at all tokens [B, T, P] (Flamingo's resampler)."""
    return looked_at(tensors, "", tensors["latents"].expand(len(seen), -1, -1), seen)


def looked_at(tensors: Tensors, prefix: str, latents: Tensor, seen: Tensor) -> Tensor:
    """What latents [B, T, D] become that look at all tokens [B, T, P], layer by layer."""

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(
            x, tensors[f"{prefix}{name}.weight"], tensors[f"{prefix}{name}.bias"]
        )

    x = linear(seen, "proj_in")
    names = (f"{prefix}layers.{index}." for index in count())
    for layer in takewhile(lambda name: name + "0.to_q.weight" in tensors, names):
        latents = latents + _looked(tensors, layer + "0.", x, latents)
        hidden = normed(tensors, layer + "1.0", latents)
        hidden = functional.gelu(functional.linear(hidden, tensors[layer + "1.1.weight"]))
        latents = latents + functional.linear(hidden, tensors[layer + "1.3.weight"])
    return normed(tensors, prefix + "norm_out", linear(latents, "proj_out"))


def _looked(tensors: Tensors, layer: str, x: Tensor, latents: Tensor) -> Tensor:
    """What the latents see in `x` and in themselves."""
    x, own = normed(tensors, layer + "norm1", x), normed(tensors, layer + "norm2", latents)
    queries = functional.linear(own, tensors[layer + "to_q.weight"])
    both = functional.linear(torch.cat([x, own], dim=1), tensors[layer + "to_kv.weight"])
    keys, values = both.chunk(2, dim=-1)
    q, k, v = (
        tensor.view(*tensor.shape[:2], -1, HEAD).transpose(1, 2)
        for tensor in (queries, keys, values)
    )
    seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return functional.linear(seen, tensors[layer + "to_out.weight"])


def normed(tensors: Tensors, name: str, x: Tensor) -> Tensor:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return functional.layer_norm(x, weight.shape, weight, bias)


def load_image_layers(weights: Weights, *, dtype: torch.dtype, device: torch.device) -> ImageLayers:
    """The half of an IP-Adapter that is attended to.

    Raises:
        BadModelFile: there is none in it, or it is incomplete.
    """
    part = part_of(weights, LAYERS)
    names = (f"{number}.to_{{}}_ip.weight" for number in count(1, 2))
    found = list(takewhile(lambda name: name.format("k") in part, names))
    try:
        pairs = tuple(
            (
                copied(part[name.format("k")], dtype, device),
                copied(part[name.format("v")], dtype, device),
            )
            for name in found
        )
    except KeyError as error:
        raise weights.bad(problem=f"its layers are incomplete: {error} is missing") from error
    if not pairs or any(k.shape != v.shape or k.ndim != 2 for k, v in pairs):
        raise weights.bad(problem="its layers are none that an IP-Adapter has")
    return ImageLayers(pairs)
