"""Calls Chroma's transformer."""

from typing import Any

import torch
from torch import Tensor

from diffusion.dit.call import Added, DitCall, plus
from diffusion.dit.tokens import packed, unpacked
from diffusion.families.chroma.shapes import DOUBLE, LAST, MODULATIONS, SINGLE
from diffusion.families.flux.network import placed
from diffusion.families.flux.rotary import rotary_tables
from diffusion.networks.compiling import Blocks
from diffusion.networks.layers import sinusoids

TIME = 1000  # what a time, and the number of a modulation, are told times


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call, and tokens of text, may be any number."""
    double: Blocks = {type(b): ((0,), (0, 1), (0,), (0,)) for b in module.transformer_blocks}
    single: Blocks = {type(b): ((0, 1), (0,), (0,)) for b in module.single_transformer_blocks}
    return {**double, **single}


def chroma(module: Any, call: DitCall) -> Tensor:
    """The velocity that Chroma sees. (ComfyUI comfy/ldm/chroma/model.py)

    Its own forward masks padding of the text, and knows no skipped blocks.
    """
    dtype = module.proj_out.bias.dtype
    picture = module.x_embedder(packed(call.sample).to(dtype))
    text = module.context_embedder(call.context.to(dtype))
    modulation = modulations(module, call.times, call.guidance, dtype)
    places = rotary_tables(
        module.pos_embed, text.shape[1], placed([call.sample], call.places), text.device
    )
    tokens = through_blocks(module, call, (text, picture), modulation, places)
    velocity: Tensor = module.proj_out(module.norm_out(tokens, modulation[:, -LAST:]))
    return unpacked(velocity, *call.sample.shape[-2:])


def through_blocks(
    module: Any,
    call: DitCall,
    tokens: tuple[Tensor, Tensor],
    modulation: Tensor,
    places: tuple[Tensor, Tensor],
) -> Tensor:
    """What becomes of a picture's tokens beside those of the text."""
    text, picture = tokens
    added, single = call.added or Added(), len(module.single_transformer_blocks)
    halves = DOUBLE * len(module.transformer_blocks)
    for index, block in enumerate(module.transformer_blocks):
        if index not in call.skipped.get("double", ()):
            start = SINGLE * single + DOUBLE * index
            own = (
                modulation[:, start : start + DOUBLE],
                modulation[:, start + halves :][:, :DOUBLE],
            )
            text, picture = block(picture, text, torch.cat(own, dim=1), places)
        picture = plus(picture, added.double, index)
    both, length = torch.cat([text, picture], dim=1), text.shape[1]
    for index, block in enumerate(module.single_transformer_blocks):
        if index not in call.skipped.get("single", ()):
            start = SINGLE * index
            both = block(both, modulation[:, start : start + SINGLE], places)
        if index < len(added.single):
            both = torch.cat([both[:, :length], plus(both[:, length:], added.single, index)], dim=1)
    return both[:, length:]


def modulations(module: Any, times: Tensor, guidance: Tensor | None, dtype: torch.dtype) -> Tensor:
    """[N, MODULATIONS, D], which the approximator makes of time, guidance, and their numbers.

    It is as large as many blocks, so it is asked once for all rows of one time and guidance.
    """
    width = module.distilled_guidance_layer.in_proj.in_features // 4
    strength = torch.zeros_like(times) if guidance is None else guidance
    pairs, places = torch.stack([times, strength], dim=1).unique(dim=0, return_inverse=True)
    said = torch.cat([sinusoids(each * TIME, width) for each in pairs.unbind(1)], dim=1)
    numbers = sinusoids(torch.arange(MODULATIONS, device=times.device) * TIME, 2 * width)
    shape = (len(pairs), MODULATIONS, -1)
    rows = torch.cat([said[:, None].expand(shape), numbers[None].expand(shape)], dim=-1)
    modulation: Tensor = module.distilled_guidance_layer(rows.to(dtype))
    return modulation[places]
