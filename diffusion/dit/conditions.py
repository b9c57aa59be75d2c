"""Conditioning of transformers: text, pooled text, and extras."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from diffusion.batch.fitting import repeat_to
from diffusion.batch.frame import Frame
from diffusion.batch.prompts import Embedding
from diffusion.latent_format import process_in
from graph.values import Condition

GUIDANCE = 3.5  # where a prompt says nothing of it


@dataclass(frozen=True, eq=False)
class DitEmbedding(Embedding):
    """What a prompt says to a transformer."""

    guidance: float | None = None  # how strongly a distilled model follows the prompt
    references: tuple[Tensor, ...] = ()  # [B or 1, C, h', w'], pictures to go by
    reference_places: str = "offset"  # where they are put beside the picture
    bias: Tensor | None = None  # [T, T + 1], what attention adds for text, and the picture's last
    # [B or 1, T], of the time: how much each frame, or token, is told of it
    time_shares: Tensor | None = None
    # [B or 1, ...], whatever else the family's network reads, under names of its own
    beside: Mapping[str, Tensor] = field(default_factory=dict)

    def cut(self, part: Callable[[Tensor], Tensor]) -> Self:
        return replace(
            super().cut(part),
            references=tuple(map(part, self.references)),
            time_shares=None if self.time_shares is None else part(self.time_shares),
            beside={name: part(tensor) for name, tensor in self.beside.items()},
        )


def embedding(
    condition: Condition,
    frame: Frame,
    *,
    context: Tensor,
    pooled: Tensor | None = None,
    concat: Tensor | None = None,
) -> DitEmbedding:
    """All of it. (ComfyUI comfy/model_base.py, Flux.extra_conds)"""
    extras = condition.extras
    bias = extras.get("attention_bias")
    return DitEmbedding(
        context=context,
        y=pooled,
        concat=concat,
        guidance=extras.get("guidance", GUIDANCE),
        references=tuple(_reference(r, frame) for r in extras.get("reference_latents", ())),
        reference_places=extras.get("reference_latents_method", "offset"),
        bias=None if bias is None else bias.to(frame.device, torch.float32),
    )


def _reference(latent: Tensor, frame: Frame) -> Tensor:
    placed = process_in(frame.format, latent.to(frame.device, torch.float32))
    return placed if len(placed) == 1 else repeat_to(placed, frame.shape[0])
