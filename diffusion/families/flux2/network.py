"""Calls Flux.2's transformer."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.dit.call import Added, DitCall, plus
from diffusion.families.flux.network import placed
from diffusion.networks.compiling import Blocks

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel

PATCH = 1  # latent pixels along a side of a token
APART = 10  # places between a picture and its references, where these are put by number


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call, and tokens of text, may be any number."""
    double: Blocks = {type(b): ((0,), (0, 1), (0,), (0,), (0,)) for b in module.transformer_blocks}
    single: Blocks = {type(b): ((0, 1), (), (0,), (0,)) for b in module.single_transformer_blocks}
    return {**double, **single}


def flux2(module: "Flux2Transformer2DModel", call: DitCall) -> Tensor:
    """The velocity that Flux.2 sees; its own forward knows no skipped blocks.

    (ComfyUI comfy/ldm/flux/model.py)
    """
    first: Any = module.transformer_blocks[0]
    dtype = first.attn.norm_q.weight.dtype  # no layer has a bias, and weights may be packed
    pictures = [call.sample, *call.references]
    tokens = torch.cat(
        [picture.flatten(2).transpose(1, 2).to(dtype) for picture in pictures], dim=1
    )
    picture, text = module.x_embedder(tokens), module.context_embedder(call.context.to(dtype))
    vector = vector_told(module, call.times, call.guidance, dtype)
    of_picture = module.double_stream_modulation_img(vector)
    of_text = module.double_stream_modulation_txt(vector)
    places = module.pos_embed(_positions(call, text.shape[1]).to(text.device))
    added, length = call.added or Added(), text.shape[1]
    for index, block in enumerate(module.transformer_blocks):
        if index not in call.skipped.get("double", ()):
            text, picture = block(picture, text, of_picture, of_text, places)
        picture = plus(picture, added.double, index)
    both, of_both = torch.cat([text, picture], dim=1), module.single_stream_modulation(vector)
    for index, block in enumerate(module.single_transformer_blocks):
        if index not in call.skipped.get("single", ()):
            both = block(both, None, of_both, places)
        if index < len(added.single):
            both = torch.cat([both[:, :length], plus(both[:, length:], added.single, index)], dim=1)
    height, width = call.sample.shape[-2:]
    own = both[:, length : length + height * width]
    velocity: Tensor = module.proj_out(module.norm_out(own, vector))
    return velocity.transpose(1, 2).reshape(len(own), -1, height, width)


def vector_told(module: Any, times: Tensor, guidance: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The vector [N, D] that all modulations are made of."""
    embedder = module.time_guidance_embed
    told: Tensor = embedder.timestep_embedder(embedder.time_proj(times * 1000).to(dtype))
    if guidance is not None and embedder.guidance_embedder is not None:
        told = told + embedder.guidance_embedder(embedder.time_proj(guidance * 1000).to(dtype))
    return told


def _positions(call: DitCall, length: int) -> Tensor:
    """[T, 4]: picture, row and column of the pictures' tokens, and the place of the text's."""
    pictures = [call.sample, *call.references]
    grids = placed(pictures, call.places, patch=PATCH, apart=APART)
    of_text = functional.pad(torch.arange(float(length))[:, None], (3, 0))
    return torch.cat([of_text, *(functional.pad(grid.positions(), (0, 1)) for grid in grids)])
