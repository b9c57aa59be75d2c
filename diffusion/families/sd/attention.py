"""The attention layers of U-Nets.

The keys and values of a prompt do not change from step to step, so they are projected once and
handed to the layers. What changes how self-attention is run (perturbed attention ...) is told with
each call, so one module serves calls with and without.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion.batch.rows import Draws, RowMotion
from diffusion.families.sd.token_changes import TOKEN_CHANGES, Site, Undo
from graph.values import Change

KeysAndValues: TypeAlias = Mapping[str, tuple[Tensor, Tensor]]  # by layer, each [B, T, D]

MIDDLE = "mid_block."
FIRST_BLOCK = "transformer_blocks.0."


class AddsImages(Protocol):
    """Image prompts, of which cross attention layers see more than the text."""

    def added(self, place: str, heads: int, queries: Tensor, attended: Tensor) -> Tensor:
        """`attended` [N, T, C] of the layer at `place`, with what its queries see in pictures."""


class AddsObjects(Protocol):
    """Boxes of text, of which transformers hear behind their self-attention."""

    def added(self, place: str, x: Tensor) -> Tensor:
        """`x` [N, T, C] behind the self-attention at `place`, with what is to be in boxes."""


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """What one call of the network tells its attention layers."""

    context: KeysAndValues
    patches: tuple[Change, ...] = ()
    size: tuple[int, int] = (0, 0)  # of the latents
    draws: Draws | None = None
    recorded: list[Tensor] = field(default_factory=list)  # [B, heads, T, T]
    images: AddsImages | None = None
    objects: AddsObjects | None = None
    motion: RowMotion | None = None
    frames: int = 1  # of every video in the call, where there is motion

    @property
    def joined_frames(self) -> int | None:
        """How many pictures all norms of the network take together, if not each by itself."""
        return self.frames if self.motion is not None and self.motion.joins_norms else None

    def moved(self, place: str, x: Tensor) -> Tensor:
        """`x` [B, C, h, w] of the layer at `place`, behind motion modules that are there."""
        return x if self.motion is None else self.motion.after(place, x, self.frames)

    @property
    def is_changed(self) -> bool:
        """Whether attention is anything but plain."""
        return bool(self.patches) or self.images is not None or self.objects is not None

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


class Attention(nn.Module):
    """Attention of a picture's tokens to themselves, or with a `context_dim` to the prompts'."""

    def __init__(self, width: int, context_dim: int | None, heads: int) -> None:
        super().__init__()
        self.place = ""  # the layer's name in its network
        self.heads = heads
        self.crosses = context_dim is not None
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_dim or width, width, bias=False)
        self.to_v = nn.Linear(context_dim or width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(
        self, x: Tensor, keys: Tensor | None = None, values: Tensor | None = None
    ) -> Tensor:
        """`x` [B, T, D] to itself, or to `keys` and `values` [B, T', D]."""
        if keys is None or values is None:
            keys, values = self.to_k(x), self.to_v(x)
        return self._projected(_attention(self.heads, self.to_q(x), keys, values))

    def to_prompts(self, x: Tensor, call: AttentionCall) -> Tensor:
        """`x` to prompts, as `call` changes it."""
        keys, values = call.context[self.place]
        queries = self.to_q(x)
        attended = _attention(self.heads, queries, keys, values)
        if call.images is not None:
            attended = call.images.added(self.place, self.heads, queries, attended)
        return self._projected(attended)

    def to_itself(self, x: Tensor, call: AttentionCall) -> Tensor:
        """`x` to itself, as `call` changes it. What is recorded is not blind, as in ComfyUI."""
        values = self.to_v(x)
        if self._is_recorded(call):
            keys = self.to_k(x)
            attended = _recorded_attention(self.heads, self.to_q(x), keys, values, call)
            return self._projected(attended)
        if self._is_blind(call):
            return self._projected(values)
        keys = self.to_k(x)
        asking, undos = call.fewer(self.place, x)
        attended = self._projected(_attention(self.heads, self.to_q(asking), keys, values))
        for undo in undos:
            attended = undo(attended)
        return attended

    def _projected(self, attended: Tensor) -> Tensor:
        return self.to_out[0](attended)  # type: ignore[no-any-return]

    def _is_blind(self, call: AttentionCall) -> bool:
        return call.has("identity_attention") and self.place.startswith(MIDDLE)

    def _is_recorded(self, call: AttentionCall) -> bool:
        first_of_middle = self.place.startswith(MIDDLE) and FIRST_BLOCK in self.place
        return call.has("record_attention") and first_of_middle


def _heads(heads: int, tensor: Tensor) -> Tensor:
    batch, tokens, _ = tensor.shape
    return tensor.view(batch, tokens, heads, -1).transpose(1, 2)


def _attention(heads: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Queries in tiles [B * n, T / n, D] see strips of the keys, as many (as in ComfyUI)."""
    if len(keys) != len(queries):
        keys, values = (
            tensor.reshape(len(queries), -1, tensor.shape[-1]) for tensor in (keys, values)
        )
    attended = functional.scaled_dot_product_attention(
        _heads(heads, queries), _heads(heads, keys), _heads(heads, values)
    )
    return attended.transpose(1, 2).flatten(2)


def _recorded_attention(
    heads: int, queries: Tensor, keys: Tensor, values: Tensor, call: AttentionCall
) -> Tensor:
    queries, keys, values = (_heads(heads, tensor) for tensor in (queries, keys, values))
    scores = queries.float() @ keys.float().transpose(-1, -2) * queries.shape[-1] ** -0.5
    weights = scores.softmax(dim=-1)
    call.recorded.append(weights)
    attended: Tensor = weights.to(values.dtype) @ values
    return attended.transpose(1, 2).flatten(2)


def cross_attention_layers(network: nn.Module) -> dict[str, Attention]:
    """The layers that attend to prompts, by place."""
    return {
        layer.place: layer
        for layer in network.modules()
        if isinstance(layer, Attention) and layer.crosses
    }


@torch.inference_mode()
def project_context(layers: Mapping[str, Attention], context: Tensor) -> KeysAndValues:
    """What every layer reads of a prompt's `context` [B, T, D]."""
    return {place: (layer.to_k(context), layer.to_v(context)) for place, layer in layers.items()}
