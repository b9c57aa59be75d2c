"""Calls Flux.2's transformer."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.batch.patches import KV_CACHE
from diffusion.dit.call import Added, DitCall, plus
from diffusion.dit.kept import Kept
from diffusion.families.flux.network import placed
from diffusion.families.flux2.kept_attention import KeptLayer
from diffusion.networks.compiling import Blocks

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel

PATCH = 1  # latent pixels along a side of a token
BY_NUMBER, STILL = "index", "index_timestep_zero"  # of the latter, told they have no noise
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
    kept, references = call.kept, call.references
    keeps = any(change.kind == KV_CACHE for change in call.changes)
    method = call.places or (STILL if keeps else BY_NUMBER)
    dtype = first.attn.norm_q.weight.dtype  # no layer has a bias, and weights may be packed
    pictures = [call.sample, *references]
    reading = kept is not None and kept.is_filled
    seen = pictures[:1] if reading else pictures
    tokens = torch.cat([picture.flatten(2).transpose(1, 2).to(dtype) for picture in seen], dim=1)
    picture, text = module.x_embedder(tokens), module.context_embedder(call.context.to(dtype))
    vector = vector_embedding(module, call.times, call.guidance, dtype)
    added, length, own = call.added or Added(), text.shape[1], call.sample[0, 0].numel()
    of_picture = module.double_stream_modulation_img(vector)
    of_text = module.double_stream_modulation_txt(vector)
    of_both = module.single_stream_modulation(vector)
    if method == STILL and (still := picture.shape[1] - own):
        embedding = vector_embedding(module, torch.zeros_like(call.times), call.guidance, dtype)
        of_picture = _in_turn(
            of_picture, module.double_stream_modulation_img(embedding), own, still
        )
        of_both = _in_turn(of_both, module.single_stream_modulation(embedding), length + own, still)
    tables = module.pos_embed(_positions(pictures, method, length).to(text.device))
    places = tuple(table[: length + picture.shape[1]] for table in tables)
    of_layer = _keeping(kept if references else None, length + own, reading=reading)
    for index, block in enumerate(module.transformer_blocks):
        if index not in call.skipped.get("double", ()):
            keeping = of_layer(f"double {index}")
            text, picture = block(picture, text, of_picture, of_text, places, *keeping)
        picture = plus(picture, added.double, index)
    both = torch.cat([text, picture], dim=1)
    for index, block in enumerate(module.single_transformer_blocks):
        if index not in call.skipped.get("single", ()):
            both = block(both, None, of_both, places, *of_layer(f"single {index}"))
        if index < len(added.single):
            both = torch.cat([both[:, :length], plus(both[:, length:], added.single, index)], dim=1)
    mine = both[:, length : length + own]
    velocity: Tensor = module.proj_out(module.norm_out(mine, vector))
    if kept is not None:
        kept.ended()
    return velocity.transpose(1, 2).reshape(len(mine), -1, *call.sample.shape[-2:])


def vector_embedding(
    module: Any, times: Tensor, guidance: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """The vector [N, D] that all modulations are made of."""
    embedder = module.time_guidance_embed
    embedding: Tensor = embedder.timestep_embedder(embedder.time_proj(times * 1000).to(dtype))
    if guidance is not None and embedder.guidance_embedder is not None:
        embedding = embedding + embedder.guidance_embedder(
            embedder.time_proj(guidance * 1000).to(dtype)
        )
    return embedding


def _in_turn(first: Tensor, second: Tensor, of_first: int, of_second: int) -> Tensor:
    """[N, T, D] of two vectors [N, D], for so many tokens each."""
    return torch.cat(
        [first[:, None].expand(-1, of_first, -1), second[:, None].expand(-1, of_second, -1)], dim=1
    )


def _keeping(
    kept: Kept | None, before: int, *, reading: bool
) -> Callable[[str], tuple[dict[str, KeptLayer], ...]]:
    """The argument that tells a block's attention what is kept of it, if anything is."""
    if kept is None:
        return lambda _layer: ()
    return lambda layer: ({"kept": KeptLayer(kept, layer, before, reading)},)


def _positions(pictures: Sequence[Tensor], method: str, length: int) -> Tensor:
    """[T, 4]: picture, row and column of the pictures' tokens, and the place of the text's."""
    method = BY_NUMBER if method == STILL else method
    grids = placed(pictures, method, patch=PATCH, apart=APART)
    of_text = functional.pad(torch.arange(float(length))[:, None], (3, 0))
    return torch.cat([of_text, *(functional.pad(grid.positions(), (0, 1)) for grid in grids)])
