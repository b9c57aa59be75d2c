"""One call of a diffusion transformer, whatever its family."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.dit.shapes import PATCH
from diffusion.families.flux.rotary import Grid, rotary_tables
from diffusion.networks.compiling import Blocks, Free

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    from diffusion.dit.loading import LoadedDit


@dataclass(frozen=True, eq=False)
class Added:
    """What control networks add behind blocks, one tensor [N, T, D] for each of the first ones."""

    double: tuple[Tensor, ...] = ()
    single: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class DitCall:
    """What N latent pictures are asked with. All tensors are on the network's device."""

    sample: Tensor  # [N, C, h, w], with the channels that ride beside the latent
    times: Tensor  # [N], float32, as the network is told them
    context: Tensor  # [N, T, D]
    pooled: Tensor  # [N, P]
    guidance: Tensor | None = None  # [N]
    references: tuple[Tensor, ...] = ()  # pictures [N, C, h', w'] to go by
    places: str = "offset"  # where references are put beside the picture
    bias: Tensor | None = None  # [T, T + 1], what attention adds for text, and the picture's last
    skipped: Mapping[str, frozenset[int]] = field(default_factory=dict)  # blocks, by kind
    added: Added | None = None


Network: TypeAlias = Callable[[DitCall], Tensor]  # gives [N, c, h, w]


def network_of(dit: "LoadedDit") -> Network:
    """How a transformer of its family is called."""
    module: Any = dit.module
    if dit.family == "sd3":
        return lambda call: sd3(module, call)
    return lambda call: flux(module, call)


def dit_blocks(module: Any) -> Blocks:
    """The blocks of a transformer: rows of a call, and tokens of text, may be any number."""
    free: Free = ((0,), (0, 1), (0,))  # picture, text, vector
    if not hasattr(module, "single_transformer_blocks"):
        return {type(block): free for block in module.transformer_blocks}
    blocks = (*module.transformer_blocks, *module.single_transformer_blocks)
    return {type(block): (*free, (0,)) for block in blocks}  # and rotary tables, by token


def sd3(module: "SD3Transformer2DModel", call: DitCall) -> Tensor:
    """The velocity that Stable Diffusion 3 sees.

    Controls are heard behind the last block too, which diffusers' own forward leaves out.
    """
    dtype = module.proj_out.bias.dtype
    picture = module.pos_embed(padded(call.sample).to(dtype)).contiguous()
    vector = module.time_text_embed(call.times, call.pooled.to(dtype))
    text = module.context_embedder(call.context.to(dtype))
    added = call.added or Added()
    for index, block in enumerate(module.transformer_blocks):
        if index not in call.skipped.get("double", ()):
            text, picture = block(picture, text, vector)
        picture = _plus(picture, added.double, index)
    velocity = module.proj_out(module.norm_out(picture, vector))
    return _unpatched(velocity, *call.sample.shape[-2:])


def _unpatched(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens [N, T, 4 * C] of Stable Diffusion 3, channels last, as [N, C, height, width]."""
    rows, columns = tokens_along(height), tokens_along(width)
    parts = tokens.view(len(tokens), rows, columns, PATCH, PATCH, -1)
    whole = parts.permute(0, 5, 1, 3, 2, 4).reshape(len(tokens), -1, rows * PATCH, columns * PATCH)
    return whole[..., :height, :width]


def flux(module: "FluxTransformer2DModel", call: DitCall) -> Tensor:
    """The velocity that Flux sees; its own forward knows neither references nor skipped blocks."""
    dtype = module.proj_out.bias.dtype
    pictures = [call.sample, *call.references]
    grids = placed(pictures, call.places)
    tokens = torch.cat([packed(picture).to(dtype) for picture in pictures], dim=1)
    picture, text = module.x_embedder(tokens), module.context_embedder(call.context.to(dtype))
    vector = vector_told(module, call.times, call.pooled.to(dtype), call.guidance)
    places = rotary_tables(module.pos_embed, text.shape[1], grids, text.device)
    rest = (vector, places, *_masked(call.bias, picture, text))
    added = call.added or Added()
    for index, block in enumerate(module.transformer_blocks):
        if index not in call.skipped.get("double", ()):
            text, picture = block(picture, text, *rest)
        picture = _plus(picture, added.double, index)
    for index, block in enumerate(module.single_transformer_blocks):
        if index not in call.skipped.get("single", ()):
            text, picture = block(picture, text, *rest)
        picture = _plus(picture, added.single, index)
    own = packed_length(call.sample)
    velocity = module.proj_out(module.norm_out(picture[:, :own], vector))
    return unpacked(velocity, *call.sample.shape[-2:])


def vector_told(module: Any, times: Tensor, pooled: Tensor, guidance: Tensor | None) -> Tensor:
    """The vector [N, D] that every block of Flux is modulated by, in the precision of `pooled`."""
    embedder = module.time_text_embed
    told = embedder.timestep_embedder(embedder.time_proj(times * 1000).to(pooled.dtype))
    if guidance is not None and hasattr(embedder, "guidance_embedder"):
        waves = embedder.time_proj(guidance * 1000).to(pooled.dtype)
        told = told + embedder.guidance_embedder(waves)
    vector: Tensor = told + embedder.text_embedder(pooled)
    return vector


def _plus(picture: Tensor, added: Sequence[Tensor], index: int) -> Tensor:
    """`picture` with what is added behind a block; references behind it stay as they are."""
    if index >= len(added):
        return picture
    residual = added[index].to(picture.dtype)
    short = picture.shape[1] - residual.shape[1]
    return picture + (functional.pad(residual, (0, 0, 0, short)) if short else residual)


def _masked(bias: Tensor | None, picture: Tensor, text: Tensor) -> tuple[dict[str, Tensor], ...]:
    """The argument with which attention adds `bias` to the scores of text tokens, if any."""
    if bias is None:
        return ()
    of_text, count = text.shape[1], picture.shape[1]
    mask = torch.zeros(of_text + count, of_text + count, dtype=text.dtype, device=text.device)
    mask[:of_text, :of_text] = bias[:, :-1].to(mask)
    mask[of_text:, :of_text] = bias[:, -1].to(mask)
    return ({"attention_mask": mask[None, None]},)


def padded(sample: Tensor) -> Tensor:
    """[N, C, h, w] with whole tokens, the missing pixels taken from the other side."""
    below, beside = -sample.shape[-2] % PATCH, -sample.shape[-1] % PATCH
    if not below and not beside:
        return sample
    return functional.pad(sample, (0, beside, 0, below), mode="circular")


def packed(sample: Tensor) -> Tensor:
    """[N, C, h, w] as tokens [N, T, C * 4]."""
    sample = padded(sample)
    count, channels, height, width = sample.shape
    tokens = sample.view(count, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return tokens.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * PATCH**2)


def packed_length(sample: Tensor) -> int:
    return tokens_along(sample.shape[-2]) * tokens_along(sample.shape[-1])


def tokens_along(side: int) -> int:
    """Tokens along a side of so many latent pixels."""
    return -(-side // PATCH)


def unpacked(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens [N, T, C * 4] as [N, C, height, width]."""
    rows, columns = tokens_along(height), tokens_along(width)
    parts = tokens.view(len(tokens), rows, columns, -1, PATCH, PATCH)
    whole = parts.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), -1, rows * PATCH, columns * PATCH)
    return whole[..., :height, :width]


def placed(pictures: Sequence[Tensor], places: str) -> list[Grid]:
    """Where the tokens of a picture and of its references lie. (ComfyUI ldm/flux/model.py)"""
    first, *references = pictures
    grids = [Grid(0, 0, 0, tokens_along(first.shape[-2]), tokens_along(first.shape[-1]))]
    down = right = 0  # latent pixels that references take up so far
    for number, reference in enumerate(references, start=1):
        height, width = reference.shape[-2:]
        picture, y, x = 1, 0, 0
        if places == "index":
            picture = number
        elif places == "uxo":
            picture = 0
            y, x = grids[0].rows * PATCH + down, grids[0].columns * PATCH + right
            down, right = down + height, right + width
        else:
            if height + down > width + right:
                x = right
            else:
                y = down
            down, right = max(down, height + y), max(right, width + x)
        place = (picture, (y + PATCH // 2) // PATCH, (x + PATCH // 2) // PATCH)
        grids.append(Grid(*place, tokens_along(height), tokens_along(width)))
    return grids
