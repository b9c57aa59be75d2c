"""Boxes of text, as prompts use them in one job. (ComfyUI comfy/gligen.py, Gligen)"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from graph.errors import ServiceError
from graph.values import Gligen, Grounding


@dataclass(eq=False)
class GroundingMismatchError(ServiceError):
    """Texts of boxes that the network for boxes cannot read."""

    status = 422
    code = "grounding_mismatch"
    template = "{name} reads texts of width {expected} for its boxes, got {received}."
    name: str
    expected: int
    received: int


class LoadedGrounding(Protocol):
    """A network that is told what is to be where, in memory. For the thread that steps."""

    @property
    def text_width(self) -> int:
        """Of what is said of a box."""

    @property
    def size(self) -> int:
        """Bytes."""

    def misfit(self, network: Any) -> str | None:
        """Why it cannot be told to a model of such a network, if so."""

    def objects(self, said: Tensor, boxes: Tensor) -> Tensor:
        """What layers see [1, T, D] of texts [N, P] in boxes [N, 4]: left, top, right, bottom."""


@dataclass(frozen=True, eq=False)
class PromptGrounding:
    """The boxes of one prompt."""

    loaded: LoadedGrounding
    grounding: Grounding
    known: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def objects(self, height: int, width: int) -> Tensor:
        """What layers see of them in latents of that size, worked out when first asked for."""
        size = (height, width)
        if size not in self.known:
            boxes = self.grounding.boxes
            ends = [(own.x + own.width, own.y + own.height) for own in boxes]
            edges = [
                (own.x / width, own.y / height, right / width, bottom / height)
                for own, (right, bottom) in zip(boxes, ends, strict=True)
            ]
            said = torch.cat([torch.as_tensor(own.said).float() for own in boxes])
            self.known[size] = self.loaded.objects(said, torch.tensor(edges))
        return self.known[size]


def prompt_grounding(
    grounding: Grounding | None, loaded: Mapping[Gligen, LoadedGrounding]
) -> PromptGrounding | None:
    """The boxes of a condition, for its job. Raises GroundingMismatchError."""
    if grounding is None:
        return None
    network = loaded[grounding.net]
    for box in grounding.boxes:
        if box.said.shape[-1] != network.text_width:
            received = int(box.said.shape[-1])
            raise GroundingMismatchError(grounding.net.file.name, network.text_width, received)
    return PromptGrounding(network, grounding)
