"""Attention as this project runs it: one processor on every attention layer of a UNet.

The keys and values of a prompt do not change from step to step, so they are projected once and
handed to the layers. What changes how self-attention is run (perturbed attention ...) is told with
each call, so one module serves calls with and without.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.unet.token_changes import TOKEN_CHANGES, Draws, Site, Undo
from graph.values import Change

if TYPE_CHECKING:  # importing diffusers' models takes seconds; whoever loads one has done it
    from diffusers.models.attention_processor import Attention
    from diffusers.models.controlnets.controlnet import ControlNetModel
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    from diffusion.vision.image_prompts import CallImages

KeysAndValues: TypeAlias = Mapping[str, tuple[Tensor, Tensor]]  # by layer, each [B, T, D]

MIDDLE = "mid_block."
SUFFIX = ".processor"
FIRST_BLOCK = "transformer_blocks.0."


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """What one call of the network tells its attention layers."""

    context: KeysAndValues
    patches: tuple[Change, ...] = ()
    size: tuple[int, int] = (0, 0)  # of the latents
    draws: Draws | None = None
    recorded: list[Tensor] = field(default_factory=list)  # [B, heads, T, T]
    images: "CallImages | None" = None

    def has(self, kind: str) -> bool:
        return any(patch.kind == kind for patch in self.patches)

    def fewer(self, place: str, tokens: Tensor) -> tuple[Tensor, list[Undo]]:
        """The tokens [B, T, D] that ask in self-attention, and how each answer becomes all."""
        undos: list[Undo] = []
        if self.draws is not None:
            site = Site(place, *self.size, self.draws)
            for patch in self.patches:
                if patch.kind in TOKEN_CHANGES:
                    tokens, undo = TOKEN_CHANGES[patch.kind](patch, site, tokens)
                    undos.append(undo)
        return tokens, undos


class PlacedAttention:
    """The attention of the layer named `place`."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __call__(
        self,
        attn: "Attention",
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,  # noqa: ARG002 - the interface of diffusers
        temb: Tensor | None = None,  # noqa: ARG002
        *,
        call: AttentionCall,
    ) -> Tensor:
        """`hidden_states` [B, T, D] attended to itself or to the prompts' keys and values."""
        if encoder_hidden_states is not None:
            keys, values = call.context[self._place]
        elif self._is_blind(call):
            return _projected(attn, attn.to_v(hidden_states))
        else:
            keys, values = attn.to_k(hidden_states), attn.to_v(hidden_states)
        if encoder_hidden_states is not None:
            queries = attn.to_q(hidden_states)
            attended = _attention(attn, queries, keys, values)
            if call.images is not None:
                attended = call.images.added(self._place, attn.heads, queries, attended)
            return _projected(attn, attended)
        if self._is_recorded(call):
            queries = attn.to_q(hidden_states)
            return _projected(attn, _recorded_attention(attn, queries, keys, values, call))
        asking, undos = call.fewer(self._place, hidden_states)
        attended = _projected(attn, _attention(attn, attn.to_q(asking), keys, values))
        for undo in undos:
            attended = undo(attended)
        return attended

    def _is_blind(self, call: AttentionCall) -> bool:
        return call.has("identity_attention") and self._place.startswith(MIDDLE)

    def _is_recorded(self, call: AttentionCall) -> bool:
        first_of_middle = self._place.startswith(MIDDLE) and FIRST_BLOCK in self._place
        return call.has("record_attention") and first_of_middle


def _heads(attn: "Attention", tensor: Tensor) -> Tensor:
    batch, tokens, _ = tensor.shape
    return tensor.view(batch, tokens, attn.heads, -1).transpose(1, 2)


def _attention(attn: "Attention", queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Queries in tiles [B * n, T / n, D] see strips of the keys, as many (as in ComfyUI)."""
    if len(keys) != len(queries):
        keys, values = (
            tensor.reshape(len(queries), -1, tensor.shape[-1]) for tensor in (keys, values)
        )
    attended = functional.scaled_dot_product_attention(
        _heads(attn, queries), _heads(attn, keys), _heads(attn, values)
    )
    return attended.transpose(1, 2).flatten(2)


def _recorded_attention(*parts: Any) -> Tensor:
    attn, queries, keys, values, call = parts
    queries, keys, values = (_heads(attn, tensor) for tensor in (queries, keys, values))
    scores = queries.float() @ keys.float().transpose(-1, -2) * queries.shape[-1] ** -0.5
    weights = scores.softmax(dim=-1)
    call.recorded.append(weights)
    attended: Tensor = weights.to(values.dtype) @ values
    return attended.transpose(1, 2).flatten(2)


def _projected(attn: "Attention", attended: Tensor) -> Tensor:
    return attn.to_out[0](attended)  # type: ignore[no-any-return]


def place_attention(unet: "UNet2DConditionModel | ControlNetModel") -> None:
    """Let every attention layer of `unet` be run by this module."""
    names = unet.attn_processors
    placed: Any = {name: PlacedAttention(name.removesuffix(SUFFIX)) for name in names}
    unet.set_attn_processor(placed)


def cross_attention_layers(
    unet: "UNet2DConditionModel | ControlNetModel",
) -> dict[str, "Attention"]:
    """The layers that attend to prompts, by place."""
    places = (name.removesuffix(SUFFIX) for name in unet.attn_processors)
    modules: Any = {place: unet.get_submodule(place) for place in places}
    return {place: module for place, module in modules.items() if place.endswith("attn2")}


@torch.inference_mode()
def project_context(layers: Mapping[str, "Attention"], context: Tensor) -> KeysAndValues:
    """What every layer reads of a prompt's `context` [B, T, D]."""
    return {place: (layer.to_k(context), layer.to_v(context)) for place, layer in layers.items()}
