"""The text encoder in training: a CLIP that knows only the words of captions.

Its table has a row per token that captions use, and one for all others; in the file every token
of CLIP's vocabulary has a row of its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel

from demo.captions import caption
from demo.scenes import random_scene
from diffusion.text.tokenizer import END, START, ClipTokenizer

VOCABULARY = 49408
WIDTH, LAYERS, LENGTH = 128, 3, 77
UNKNOWN = 0  # the row of all tokens that no caption has
SURVEYED = 4000  # captions read to find the tokens


def caption_tokens(tokenizer: ClipTokenizer) -> list[int]:
    """Every token that captions use, in order."""
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng, held_out=bool(i % 2)) for i in range(SURVEYED)]
    return sorted({START, END}.union(*(tokenizer(caption(scene, rng)) for scene in scenes)))


class CaptionEncoder(nn.Module):
    """Captions to tokens [B, 77, WIDTH], the way the served text encoder reads them."""

    def __init__(self, tokenizer: ClipTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.known = caption_tokens(tokenizer)
        self._rows = {token: row for row, token in enumerate(self.known, start=UNKNOWN + 1)}
        self._cache: dict[str, list[int]] = {}
        self.clip = CLIPTextModel(config(len(self.known) + 1))
        nn.init.normal_(self._tables.token_embedding.weight, std=0.3)
        nn.init.normal_(self._tables.position_embedding.weight, std=0.1)
        mask = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)
        self.register_buffer("mask", mask[None, None], persistent=False)

    @property
    def _text_model(self) -> Any:
        return getattr(self.clip, "text_model", self.clip)

    @property
    def _tables(self) -> Any:
        return self._text_model.embeddings

    def rows(self, text: str) -> list[int]:
        """Rows of the table for the tokens of `text`, with start, end and padding."""
        if text not in self._cache:
            tokens = [START, *self.tokenizer(text)[: LENGTH - 2]]
            tokens += [END] * (LENGTH - len(tokens))
            self._cache[text] = [self._rows.get(token, UNKNOWN) for token in tokens]
        return self._cache[text]

    def forward(self, texts: Sequence[str]) -> Tensor:
        rows = torch.tensor([self.rows(text) for text in texts])
        x = self._tables.token_embedding(rows) + self._tables.position_embedding.weight
        for layer in self._text_model.encoder.layers:
            x = layer(x, self.mask)
        encoded: Tensor = self._text_model.final_layer_norm(x)
        return encoded

    def file_tensors(self) -> dict[str, Tensor]:
        """What a file holds, under transformers' names."""
        tensors = {
            name if name.startswith("text_model.") else f"text_model.{name}": tensor
            for name, tensor in self.clip.state_dict().items()
            if not name.endswith("position_ids")
        }
        key = "text_model.embeddings.token_embedding.weight"
        table = tensors[key][UNKNOWN].repeat(VOCABULARY, 1)
        table[self.known] = tensors[key][UNKNOWN + 1 :]
        return {**tensors, key: table}


def config(vocabulary: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // 64,
        max_position_embeddings=LENGTH,
        hidden_act="quick_gelu",
    )
