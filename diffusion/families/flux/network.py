"""Calls Flux.1's transformer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion.dit.call import Added, DitCall, plus
from diffusion.dit.tokens import PATCH, packed, packed_length, tokens_along, unpacked
from diffusion.families.flux.rotary import Grid, rotary_tables
from diffusion.networks.compiling import Blocks

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call, and tokens of text, may be any number."""
    picture, text, vector, tables = (0,), (0, 1), (0,), (0,)
    every = (*module.transformer_blocks, *module.single_transformer_blocks)
    return {type(block): (picture, text, vector, tables) for block in every}


def flux(module: "FluxTransformer2DModel", call: DitCall) -> Tensor:
    """The velocity that Flux sees; its own forward knows neither references nor skipped blocks."""
    dtype = module.proj_out.bias.dtype
    pictures = [call.sample, *call.references]
    grids = placed(pictures, call.places)
    tokens = torch.cat([packed(picture).to(dtype) for picture in pictures], dim=1)
    picture, text = module.x_embedder(tokens), module.context_embedder(call.context.to(dtype))
    for patch in call.behind:  # what model patches say comes before the words
        text = torch.cat([patch.guide.to(text).expand(len(text), -1, -1), text], dim=1)
    vector = vector_embedding(module, call.times, call.pooled.to(dtype), call.guidance)
    places = rotary_tables(module.pos_embed, text.shape[1], grids, text.device)
    rest = (vector, places, *_masked(call.bias, picture, text))
    added = call.added or Added()
    for index, block in enumerate(module.transformer_blocks):
        if index not in call.skipped.get("double", ()):
            text, picture = block(picture, text, *rest)
        picture = plus(picture, added.double, index)
    for index, block in enumerate(module.single_transformer_blocks):
        if index not in call.skipped.get("single", ()):
            text, picture = block(picture, text, *rest)
        picture = plus(picture, added.single, index)
    own = packed_length(call.sample)
    velocity = module.proj_out(module.norm_out(picture[:, :own], vector))
    return unpacked(velocity, *call.sample.shape[-2:])


def vector_embedding(module: Any, times: Tensor, pooled: Tensor, guidance: Tensor | None) -> Tensor:
    """The vector [N, D] that every block of Flux is modulated by, in the precision of `pooled`."""
    embedder = module.time_text_embed
    embedding = embedder.timestep_embedder(embedder.time_proj(times * 1000).to(pooled.dtype))
    if guidance is not None and hasattr(embedder, "guidance_embedder"):
        waves = embedder.time_proj(guidance * 1000).to(pooled.dtype)
        embedding = embedding + embedder.guidance_embedder(waves)
    vector: Tensor = embedding + embedder.text_embedder(pooled)
    return vector


def _masked(bias: Tensor | None, picture: Tensor, text: Tensor) -> tuple[dict[str, Tensor], ...]:
    """The argument with which attention adds `bias` to the scores of text tokens, if any."""
    if bias is None:
        return ()
    of_text, count = text.shape[1], picture.shape[1]
    first = of_text - len(bias)  # behind what is not of the prompt
    mask = torch.zeros(of_text + count, of_text + count, dtype=text.dtype, device=text.device)
    mask[first:of_text, first:of_text] = bias[:, :-1].to(mask)
    mask[of_text:, first:of_text] = bias[:, -1].to(mask)
    return ({"attention_mask": mask[None, None]},)


def placed(
    pictures: Sequence[Tensor], places: str, *, patch: int = PATCH, apart: int = 1
) -> list[Grid]:
    """Where the tokens of a picture and of its references lie. (ComfyUI ldm/flux/model.py)

    Tokens are squares of `patch` latent pixels. By number, pictures lie so far `apart`.
    """
    first, *references = pictures
    grids = [Grid(0, 0, 0, *(tokens_along(side, patch) for side in first.shape[-2:]))]
    down = right = 0  # latent pixels that references take up so far
    for number, reference in enumerate(references, start=1):
        height, width = reference.shape[-2:]
        picture, y, x = 1, 0, 0
        if places == "index":
            picture = number * apart
        elif places == "uxo":
            picture = 0
            y, x = grids[0].rows * patch + down, grids[0].columns * patch + right
            down, right = down + height, right + width
        else:
            if height + down > width + right:
                x = right
            else:
                y = down
            down, right = max(down, height + y), max(right, width + x)
        corner = ((side + patch // 2) // patch for side in (y, x))
        sides = (tokens_along(side, patch) for side in (height, width))
        grids.append(Grid(picture, *corner, *sides))
    return grids
