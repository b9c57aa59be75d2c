"""ControlNets of Stable Diffusion 3, in diffusers' layout (InstantX).

(ComfyUI comfy/controlnet.py; comfy/cldm/mmdit.py)
"""

import math
from typing import Any

import torch
from torch import Tensor

from diffusion.dit.call import Added
from diffusion.dit.control import Heard, LoadedDitControl
from diffusion.dit.reading import counted
from diffusion.dit.tokens import padded
from diffusion.families.family import ControlSource
from diffusion.families.sd3.loading import LATENT
from diffusion.families.sd3.shapes import Sd3Shape
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights

HINT = "pos_embed_input.proj.weight"


class Sd3Control(LoadedDitControl):
    """One set of weights."""

    family = "Stable Diffusion 3"

    def hint_channels(self) -> int:
        return int(self._module.pos_embed_input.proj.weight.shape[1])

    def scaled(self, latents: Tensor) -> Tensor:
        return latents * LATENT.scale  # and not shifted

    def behind(self, heard: Heard) -> Added:
        return behind_blocks(self._module, heard)

    def spread(self, added: Added, shape: Any) -> Added:
        return spread(added, shape)


def spread(added: Added, shape: Sd3Shape) -> Added:
    """For every block of the model but the last; neighbours hear the same."""
    times = shape.depth // len(added.double)
    return Added(tuple(t for t in added.double for _ in range(times))[:-1])


def behind_blocks(module: Any, heard: Heard) -> Added:
    """What a ControlNet says behind each of its own blocks."""
    picture = module.pos_embed(padded(heard.sample)) + module.pos_embed_input(padded(heard.hint))
    vector = module.time_text_embed(heard.times, torch.zeros_like(heard.pooled))
    text = module.context_embedder(heard.context)
    behind = []
    for block, out in zip(module.transformer_blocks, module.controlnet_blocks, strict=True):
        text, picture = block(hidden_states=picture, encoder_hidden_states=text, temb=vector)
        behind.append(out(picture))
    return Added(tuple(behind))


def is_control(weights: Weights) -> bool:
    """Whether a file holds one."""
    return HINT in weights and "transformer_blocks.0.attn.add_q_proj.weight" in weights


def load_control(source: ControlSource) -> Sd3Control:
    """The ControlNet of a file. Raises BadModelFile where something is missing."""
    weights, dtype, device = source.weights, source.dtype, source.device
    shape = read_control(weights)
    module = _empty(weights, shape)
    wanted = {name for name, _ in module.named_parameters()}
    tensors = {key: copied(weights[key], dtype, device) for key in weights if key in wanted}
    fill(module, weights, tensors)
    table = copied(weights["pos_embed.pos_embed"], dtype, device)
    module.pos_embed.register_buffer("pos_embed", table)
    return Sd3Control(module, shape)


def read_control(weights: Weights) -> Sd3Shape:
    """The shape of a ControlNet. Raises BadModelFile where something is missing."""
    try:
        width, channels, *_ = weights.shape("pos_embed.proj.weight")
        return Sd3Shape(
            in_channels=channels,
            out_channels=channels,
            width=width,
            depth=counted(weights, "transformer_blocks.{}."),
            context_dim=weights.shape("context_embedder.weight")[1],
            y_dim=weights.shape("time_text_embed.text_embedder.linear_1.weight")[1],
            positions=math.isqrt(weights.shape("pos_embed.pos_embed")[1]),
            dual=(),
            qk_norm="transformer_blocks.0.attn.norm_q.weight" in weights,
        )
    except (KeyError, ValueError) as error:
        raise weights.bad(problem=f"its ControlNet is incomplete: {error}") from error


def _empty(weights: Weights, shape: Sd3Shape) -> Any:
    from diffusers.models.controlnets import controlnet_sd3  # noqa: PLC0415 - takes seconds

    extra = weights.shape(HINT)[1] - shape.in_channels
    kind: Any = controlnet_sd3.SD3ControlNetModel
    with torch.device("meta"):
        return kind(**shape.config(), extra_conditioning_channels=extra)
