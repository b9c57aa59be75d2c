"""Calls Stable Diffusion 3's transformer."""

from typing import TYPE_CHECKING, Any

from torch import Tensor

from diffusion.dit.call import Added, DitCall, plus
from diffusion.dit.tokens import padded, unpatched
from diffusion.networks.compiling import Blocks

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call, and tokens of text, may be any number."""
    picture, text, vector = (0,), (0, 1), (0,)
    return {type(block): (picture, text, vector) for block in module.transformer_blocks}


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
        picture = plus(picture, added.double, index)
    velocity = module.proj_out(module.norm_out(picture, vector))
    return unpatched(velocity, *call.sample.shape[-2:])
