"""Calls LTX-Video's transformer."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusion.dit.call import DitCall
from diffusion.families.ltxv.loading import LATENT
from diffusion.families.ltxv.shapes import LtxvShape
from diffusion.networks.compiling import Blocks

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_ltx import LTXVideoTransformer3DModel

PATCH = 1  # latent pixels along a side of a token
RATE, KEYFRAMES = "frame_rate", "keyframe_idxs"  # of what stands beside a prompt


def blocks(module: Any) -> Blocks:
    """Its blocks: rows of a call, and tokens of text, may be any number."""
    picture, text, times, places = (0,), (0, 1), (0,), (0,)
    return {type(block): (picture, text, times, places) for block in module.transformer_blocks}


def ltxv(module: "LTXVideoTransformer3DModel", shape: LtxvShape, call: DitCall) -> Tensor:
    """The velocity [N, C, T, h, w] that LTX-Video sees; its own forward knows no skipped blocks.

    (ComfyUI comfy/ldm/lightricks/model.py)
    """
    dtype, count = module.proj_out.bias.dtype, len(call.sample)
    x = module.proj_in(call.sample.flatten(2).transpose(1, 2).to(dtype))
    places = module.rope(x, video_coords=coordinates(call, causal=shape.causal).to(x.device))
    # One time for all tokens, or one for each.
    times, said = module.time_embed((call.times * 1000).flatten(), None, count, dtype)
    times, said = times.view(count, -1, times.shape[-1]), said.view(count, -1, said.shape[-1])
    text = module.caption_projection(call.context.to(dtype))
    for index, block in enumerate(module.transformer_blocks):
        if index not in call.skipped.get("double", ()):
            x = block(x, text, times, places)
    shift, scale = (module.scale_shift_table[None, None] + said[:, :, None]).unbind(2)
    velocity: Tensor = module.proj_out(module.norm_out(x) * (1 + scale) + shift)
    return velocity.transpose(1, 2).reshape(count, -1, *call.sample.shape[2:])


def coordinates(call: DitCall, *, causal: bool) -> Tensor:
    """[N, 3, T]: where every token begins, in seconds and in pixels of the video.

    Guide frames, which are last in the latent, lie where the prompt says.
    """
    sides = [torch.arange(float(size)) for size in call.sample.shape[2:]]
    assert LATENT.frames is not None
    scale = torch.tensor([LATENT.frames, LATENT.px, LATENT.px])[:, None]
    grid = torch.cartesian_prod(*sides).reshape(-1, 3).transpose(0, 1) * scale
    if causal:  # the first latent frame is one frame of the video
        grid[0] = (grid[0] + 1 - LATENT.frames).clamp(min=0)
    found = grid.expand(len(call.sample), -1, -1).clone()
    if KEYFRAMES in call.beside:
        keyframes = call.beside[KEYFRAMES].to(found)
        found[:, :, -keyframes.shape[2] :] = keyframes
    found[:, 0] *= (1.0 / call.beside[RATE].double()).float().to(found)
    return found
