"""A text encoder that knows the 26 letters by a table."""

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from diffusion.networks.filling import copied, fill
from diffusion.text.clip_part import PartStates
from diffusion.text.encodings import States, TextEncoding, TextNetwork, TextPart, TextTools
from diffusion.text.prompt import Chunk, Embeddings
from diffusion.weights import Weights

NAME = "toy_letters"
LETTERS = string.ascii_lowercase


@dataclass(frozen=True, eq=False)
class Letters:
    """The table, ready to read prompts."""

    module: nn.Embedding
    name: str = NAME
    in_chunks: ClassVar[bool] = False

    @property
    def width(self) -> int:
        return self.module.embedding_dim

    def chunks(self, text: str, embeddings: Embeddings) -> list[Chunk]:
        found = [LETTERS.index(letter) for letter in text.lower() if letter in LETTERS] or [0]
        return [Chunk(tuple(found), (1.0,) * len(found))]

    def empty(self) -> Chunk:
        return Chunk((0,), (1.0,))

    def encoded(
        self,
        prompts: Sequence[list[Chunk]],
        stop_at_layer: int | None,
    ) -> list[PartStates]:
        rows = [torch.tensor(prompt[0].tokens) for prompt in prompts]
        return [PartStates(self.module(row)[None].float().cpu()) for row in rows]


def _find(weights: Weights) -> Weights | None:
    part = weights.under(f"{NAME}.")
    return part if "weight" in part else None


def _load(part: Weights, tools: TextTools) -> TextPart:
    count, width = part.shape("weight")
    with torch.device("meta"):
        module = nn.Embedding(count, width)
    fill(module, part, {"weight": copied(part["weight"], tools.dtype, tools.device)})
    return Letters(module)


def _joined(states: States) -> tuple[Tensor, None]:
    return states[NAME].tokens, None


def _bytes(part: Weights, dtype: torch.dtype) -> int:
    return math.prod(part.shape("weight")) * dtype.itemsize


NETWORK = TextNetwork(NAME, "letters", _find, _bytes)
TEXT = TextEncoding({NETWORK: _load}, _joined, kinds=frozenset({"toy"}))
