"""Calls Chroma Radiance's transformer."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.dit.call import DitCall
from diffusion.families.chroma.network import modulations, through_blocks
from diffusion.families.chroma_radiance.pixels import colored
from diffusion.families.flux.rotary import Grid

OPTIONS = "chroma_radiance_options"


def radiance(module: Any, call: DitCall) -> Tensor:
    """The velocity that Chroma Radiance sees. (ComfyUI comfy/ldm/chroma_radiance/model.py)"""
    shape, dtype = module.shape, module.img_in_patch.bias.dtype
    height, width = call.sample.shape[-2:]
    sides = (0, -width % shape.patch, 0, -height % shape.patch)
    sample = call.sample.to(dtype)
    if any(sides):
        sample = functional.pad(sample, sides, mode="circular")
    squares = module.img_in_patch(sample)
    text = module.context_embedder(call.context.to(dtype))
    grid = Grid(0, 0, 0, *squares.shape[-2:])
    words = torch.zeros(text.shape[1], 3)
    if shape.numbers_words or _numbered(call):
        words[:, 0] = torch.arange(text.shape[1])
    places = module.pos_embed(torch.cat([words, grid.positions()]).to(text.device))
    modulation = modulations(module, call.times, call.guidance, dtype)
    tokens = squares.flatten(2).transpose(1, 2)
    said = through_blocks(module, call, (text, tokens), modulation, places)
    colors = colored(module, sample, said)[..., :height, :width]
    if shape.gives_picture:
        return (call.sample - colors) / call.times.view(-1, 1, 1, 1)
    return colors


def _numbered(call: DitCall) -> bool:
    """Whether a change says that words lie one after the other."""
    options = [change for change in call.changes if change.kind == OPTIONS]
    sigma = float(call.times.max())
    return any(one["end_sigma"] <= sigma <= one["start_sigma"] for one in options[-1:])
