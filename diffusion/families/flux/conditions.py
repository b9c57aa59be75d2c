"""What conditions say to transformers, beyond their text."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusion.batch.frame import Frame, process_in, repeat_to
from graph.errors import ServiceError
from graph.values import Condition, Conditioning

GUIDANCE = 3.5  # where a prompt says nothing of it


@dataclass(eq=False)
class TextWidthError(ServiceError):
    """A conditioning that was encoded for models of another family."""

    status = 422
    code = "conditioning_mismatch"
    template = (
        "The {name} conditioning has text of width {received}, this model reads {expected}: "
        "it was encoded for models of another family."
    )
    name: str
    expected: int
    received: int


def check_widths(conditionings: Iterable[tuple[str, Conditioning]], expected: int) -> None:
    """Raises TextWidthError for the first conditioning whose text is not `expected` wide."""
    for name, conditions in conditionings:
        for condition in conditions:
            received = int(condition.tokens.shape[-1])
            if received != expected:
                raise TextWidthError(name, expected, received)


def transformer_extras(condition: Condition, frame: Frame) -> dict[str, Any]:
    """Fields of an Embedding. (ComfyUI comfy/model_base.py, Flux.extra_conds)"""
    extras = condition.extras
    bias = extras.get("attention_bias")
    return {
        "guidance": extras.get("guidance", GUIDANCE),
        "references": tuple(_reference(r, frame) for r in extras.get("reference_latents", ())),
        "reference_places": extras.get("reference_latents_method", "offset"),
        "bias": None if bias is None else bias.to(frame.device, torch.float32),
    }


def _reference(latent: Tensor, frame: Frame) -> Tensor:
    placed = process_in(frame.format, latent.to(frame.device, torch.float32))
    return placed if len(placed) == 1 else repeat_to(placed, frame.shape[0])
