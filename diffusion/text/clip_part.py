"""One CLIP text encoder: how it runs, and which hidden states it gives.

What each family reads off its encoders, and how weights move a token away from the empty
prompt, follows ComfyUI: sd1_clip.py (`SDClipModel`, `ClipTokenWeightEncoder`), sdxl_clip.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.networks.filling import fill
from diffusion.text.clip_layout import PartName, read_shape, tensors_of
from diffusion.text.clip_network import ClipText
from diffusion.text.prompt import Chunk, Embeddings, chunks, empty_chunk
from diffusion.text.tokenizer import END, ClipTokenizer
from diffusion.weights import Weights

ROWS_PER_CALL = 32
PADDING: Mapping[PartName, int] = {"l": END, "g": 0, "h": 0}


@dataclass(frozen=True)
class Reading:
    """Which hidden state of a text encoder conditions the model. `layer` counts from the end.

    `layer` -1 is the last one, None the last one after the final norm. `norm` applies that norm to
    other layers too. `project` gives the pooled state through the text projection.
    """

    layer: int | None
    norm: bool
    project: bool

    def skipped_to(self, stop_at_layer: int | None, layers: int) -> "Reading":
        """This reading with clip skip, which asks in vain for layers that are not there."""
        if stop_at_layer is None:
            return self
        layer = stop_at_layer if abs(stop_at_layer) <= layers else None
        return Reading(layer, self.norm, self.project)


@dataclass(frozen=True, eq=False)
class PartStates:
    """What one encoder says of one prompt: tokens [1, T, D], and pooled [1, P] where it pools.

    Both float32 on the CPU.
    """

    tokens: Tensor
    pooled: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # what a family reads beside them


@dataclass(frozen=True, eq=False)
class ClipPart:
    """One CLIP of a text encoder."""

    name: PartName
    module: ClipText
    reading: Reading
    tokenizer: ClipTokenizer
    in_chunks: ClassVar[bool] = True

    @property
    def layers(self) -> int:
        return self.module.shape.layers

    @property
    def width(self) -> int:
        return self.module.shape.width

    def chunks(self, text: str, embeddings: Embeddings) -> list[Chunk]:
        return chunks(text, self.tokenizer, pad=PADDING[self.name], embeddings=embeddings)

    def empty(self) -> Chunk:
        return empty_chunk(PADDING[self.name])

    def encoded(
        self, prompts: Sequence[list[Chunk]], stop_at_layer: int | None
    ) -> list[PartStates]:
        """Every prompt's chunks in a row, weighted against the empty prompt, which is run once."""
        reading = self.reading.skipped_to(stop_at_layer, self.layers)
        rows = [chunk for prompt in prompts for chunk in prompt]
        if any(chunk.weighted for chunk in rows):
            hidden, pooled = self.run([*rows, self.empty()], reading)
            hidden = _weighted(hidden[:-1], hidden[-1], rows)
        else:
            hidden, pooled = self.run(rows, reading)
        states, at = [], 0
        for prompt in prompts:
            tokens = hidden[at : at + len(prompt)].flatten(0, 1)[None]
            states.append(PartStates(tokens.clone(), pooled[at : at + 1].clone()))
            at += len(prompt)
        return states

    def run(self, rows: Sequence[Chunk], reading: Reading) -> tuple[Tensor, Tensor]:
        """Hidden states [B, 77, D] and pooled states [B, P] of chunks, float32 on the CPU."""
        calls = [
            self._run(rows[at : at + ROWS_PER_CALL], reading)
            for at in range(0, len(rows), ROWS_PER_CALL)
        ]
        hidden, pooled = zip(*calls, strict=True)
        return torch.cat(hidden), torch.cat(pooled)

    def _run(self, rows: Sequence[Chunk], reading: Reading) -> tuple[Tensor, Tensor]:
        model = self.module.text_model
        x = self._embedded(rows)
        length = x.shape[1]
        mask = torch.full((1, 1, length, length), float("-inf"), dtype=x.dtype, device=x.device)
        mask = mask.triu(1)
        chosen = None
        for i, layer in enumerate(model.encoder.layers, start=-self.layers):
            x = layer(x, mask)
            chosen = x if i == reading.layer else chosen
        last = model.final_layer_norm(x)
        if chosen is None:
            chosen = last
        elif reading.norm:
            chosen = model.final_layer_norm(chosen)
        pooled = last[torch.arange(len(rows)), torch.tensor([_end(row) for row in rows])]
        if reading.project:
            pooled = self.module.text_projection(pooled)
        return chosen.float().cpu(), pooled.float().cpu()

    def _embedded(self, rows: Sequence[Chunk]) -> Tensor:
        table = self.module.text_model.embeddings
        ids = [[t if isinstance(t, int) else 0 for t in row.tokens] for row in rows]
        device = table.token_embedding.weight.device
        x: Tensor = table.token_embedding(torch.tensor(ids, device=device))
        for b, row in enumerate(rows):
            for t, token in enumerate(row.tokens):
                if isinstance(token, Tensor):
                    x[b, t] = token.to(x)
        positions: Tensor = table.position_embedding.weight[: x.shape[1]]
        return x + positions


def _end(chunk: Chunk) -> int:
    """Where the first end token is: its state is the pooled one."""
    return next(
        i for i, token in enumerate(chunk.tokens) if isinstance(token, int) and token == END
    )


def _weighted(hidden: Tensor, empty: Tensor, rows: Iterable[Chunk]) -> Tensor:
    """Each token's state moved along the line from the empty prompt's, as far as it counts."""
    weights = torch.tensor([row.weights for row in rows])[..., None]
    return torch.where(weights == 1.0, hidden, (hidden - empty) * weights + empty)


def load_clip(part: Weights, dtype: torch.dtype, device: torch.device) -> ClipText:
    """The CLIP text encoder in `part`, named without prefix.

    Raises:
        BadModelFile: it is incomplete.
    """
    with torch.device("meta"):
        module = ClipText(read_shape(part))
    fill(module, part, tensors_of(part, dtype, device))
    return module
