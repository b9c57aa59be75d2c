"""ControlNets of Flux.1. (ComfyUI comfy/controlnet.py; comfy/ldm/flux/controlnet.py)"""

from typing import Any

import torch
from torch import Tensor

from diffusion.dit.call import Added
from diffusion.dit.control import Heard, LoadedDitControl, repeated
from diffusion.dit.tokens import PATCH, packed, tokens_along
from diffusion.families.flux.loading import LATENT
from diffusion.families.flux.network import vector_embedding
from diffusion.families.flux.rotary import Grid, rotary_tables
from diffusion.families.flux.shapes import FluxShape
from diffusion.latent_format import process_in


class FluxControl(LoadedDitControl):
    """One set of weights."""

    family = "Flux"

    def hint_channels(self) -> int:
        return int(self._module.controlnet_x_embedder.weight.shape[1]) // PATCH**2

    def scaled(self, latents: Tensor) -> Tensor:
        return process_in(LATENT, latents)

    def behind(self, heard: Heard) -> Added:
        return behind_blocks(self._module, heard)

    def spread(self, added: Added, shape: Any) -> Added:
        return spread(added, shape, cycled=not self.reads_latents)


def spread(added: Added, shape: FluxShape, *, cycled: bool) -> Added:
    """For every block of the model: neighbours hear the same, or with `cycled` it begins anew."""
    return Added(
        repeated(added.double, shape.double, cycled=cycled),
        repeated(added.single, shape.single, cycled=cycled),
    )


def behind_blocks(module: Any, heard: Heard) -> Added:
    """What a ControlNet says behind each of its own blocks."""
    hint = module.controlnet_x_embedder(packed(heard.hint))
    picture = module.x_embedder(packed(heard.sample)) + hint
    text = module.context_embedder(heard.context)
    if heard.mode is not None:
        mode_vector = module.controlnet_mode_embedder.weight[heard.mode].to(text)
        text = torch.cat([mode_vector.expand(len(text), 1, -1), text], dim=1)
    vector = vector_embedding(module, heard.times, heard.pooled, heard.guidance)
    sides = (tokens_along(side) for side in heard.sample.shape[-2:])
    places = rotary_tables(module.pos_embed, text.shape[1], [Grid(0, 0, 0, *sides)], text.device)
    double, single = [], []
    for block, out in zip(module.transformer_blocks, module.controlnet_blocks, strict=True):
        text, picture = block(picture, text, vector, places)
        double.append(out(picture))
    pairs = zip(module.single_transformer_blocks, module.controlnet_single_blocks, strict=True)
    for block, out in pairs:
        text, picture = block(picture, text, vector, places)
        single.append(out(picture))
    return Added(tuple(double), tuple(single))
