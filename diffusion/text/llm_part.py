"""One language model of a text encoder: its prompt format, and which hidden states it gives.

Weights in parentheses are syntax for some, in others they stay in the text. Whatever the precision
of its weights, it computes in float32, as ComfyUI's do. (ComfyUI comfy/sd1_clip.py, SDClipModel)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.text.clip_layout import PartName
from diffusion.text.clip_part import PartStates
from diffusion.text.filling import fill_narrow, narrow_bytes
from diffusion.text.llm_network import Llm, LlmShape, causal_mask, read_llm_shape, rotary
from diffusion.text.prompt import (
    Chunk,
    Embeddings,
    Picture,
    Token,
    Tokenizer,
    Weighted,
    groups,
    unweighted,
)
from diffusion.text.qwen_vision import VisionTower, grid
from diffusion.weights import Weights
from graph.errors import ServiceError

LONGEST = 4096  # tokens of one prompt, whose memory grows with their square
TABLE = "embed_tokens.weight"
HEAD = "lm_head."  # which guesses words, and is not loaded


@dataclass(eq=False)
class TextTooLongError(ServiceError):
    """A prompt of more tokens than a language model's memory is meant for."""

    status = 422
    code = "prompt_too_long"
    template = (
        "A prompt of {received} tokens is too long for {encoder}, which takes at most {limit}."
    )
    encoder: str
    limit: int
    received: int


@dataclass(eq=False)
class VocabularyError(ServiceError):
    """A language model whose vocabulary is not its tokenizer's."""

    status = 422
    code = "vocabulary_mismatch"
    template = "A prompt has token {token}, and the file of {encoder} has a vocabulary of {size}."
    encoder: str
    token: int
    size: int


@dataclass(eq=False)
class NoVisionTowerError(ServiceError):
    """Pictures in a prompt for a text encoder that cannot see."""

    status = 422
    code = "vision_tower_missing"
    template = (
        "The prompt shows pictures, and the file of {encoder} has no vision tower (visual.*)."
    )
    encoder: str


@dataclass(frozen=True)
class LlmReading:
    """How prompts are put to a language model, and what is taken of what it says.

    `template` has a {} for the prompt; a prompt that starts with `own_template` brings its own.
    Prompts shorter than `shortest` tokens are padded with `pad`, and nothing after the first pad is
    seen. `layers`: the states that are taken, side by side; a layer counts from the front, or from
    the end where it is negative, and None is the last one after the final norm. A single one may be
    replaced by clip skip. `dropped` says how many of the first tokens' states are left out. The
    token `picture` is where one is seen. `start` is the token before a prompt. Of a `weighted` one,
    weights in parentheses count.
    """

    template: str
    layers: tuple[int | None, ...]
    pad: int
    shortest: int = 1
    own_template: str | None = None
    dropped: Callable[[Sequence[Token]], int] = lambda _tokens: 0
    picture: int | None = None
    start: int | None = None
    weighted: bool = False


@dataclass(frozen=True, eq=False)
class LlmPart:
    """The language model of a text encoder."""

    name: PartName
    title: str  # for messages
    module: Llm
    tokenizer: Tokenizer
    reading: LlmReading
    in_chunks: ClassVar[bool] = False

    @property
    def width(self) -> int:
        return self.module.shape.width

    def chunks(self, text: str, embeddings: Embeddings) -> list[Chunk]:
        """The whole prompt as one. Raises TextTooLongError, PromptDepthError."""
        whole = self._put(text)
        read: list[Weighted] = [] if self.reading.start is None else [(self.reading.start, 1.0)]
        if self.reading.weighted:
            read += [pair for own in groups(whole, self.tokenizer, embeddings) for pair in own]
        else:
            read += [(token, 1.0) for token in unweighted(whole, self.tokenizer, embeddings)]
        if len(read) > LONGEST:
            raise TextTooLongError(self.title, LONGEST, len(read))
        read += [(self.reading.pad, 1.0)] * (self.reading.shortest - len(read))
        return [Chunk(tuple(token for token, _ in read), tuple(weight for _, weight in read))]

    def _put(self, text: str) -> str:
        own = self.reading.own_template
        if own is not None and text.startswith(own):
            return text
        before, _, after = self.reading.template.partition("{}")
        return before + text + after

    def with_pictures(self, chunk: Chunk, pictures: Sequence[Picture]) -> Chunk:
        """`chunk` with pictures in their places, as many as it has.

        Raises:
            NoVisionTowerError, TextTooLongError.
        """
        if self.module.visual is None:
            raise NoVisionTowerError(self.title)
        left = list(pictures)
        tokens = [
            left.pop(0) if left and isinstance(t, int) and t == self.reading.picture else t
            for t in chunk.tokens
        ]
        length = sum(_length(token) for token in tokens)
        if length > LONGEST:
            raise TextTooLongError(self.title, LONGEST, length)
        return Chunk(tuple(tokens), chunk.weights)

    def empty(self) -> Chunk:
        """A prompt that says nothing."""
        return self.chunks("", lambda _name: None)[0]

    def encoded(
        self, prompts: Sequence[list[Chunk]], stop_at_layer: int | None
    ) -> list[PartStates]:
        """Each prompt by itself, as no other is of its length."""
        layers = self.reading.layers
        if stop_at_layer is not None and len(layers) == 1:
            layers = (stop_at_layer if -stop_at_layer <= len(self.module.layers) else None,)
        return [PartStates(self._encoded(prompt[0], layers)) for prompt in prompts]

    def _encoded(self, chunk: Chunk, layers: Sequence[int | None]) -> Tensor:
        """Weights move tokens away from those of an empty prompt of the same length."""
        hidden = self._run(chunk, layers)
        if not chunk.weighted:
            return hidden
        nothing = [] if self.reading.start is None else [self.reading.start]
        nothing += [self.reading.pad] * (len(chunk.tokens) - len(nothing))
        empty = self._run(Chunk(tuple(nothing), chunk.weights), layers)
        weights = torch.tensor(chunk.weights)[None, :, None]
        return torch.where(weights == 1.0, hidden, (hidden - empty) * weights + empty)

    def _run(self, chunk: Chunk, layers: Sequence[int | None]) -> Tensor:
        """[1, T, D of all `layers`], float32 on the CPU."""
        shape = self.module.shape
        x = torch.cat([self._vectors(token) for token in chunk.tokens])[None]
        if shape.gemma:
            x = x * shape.width**0.5
        positions = positions_of(chunk.tokens).to(x.device)
        places = rotary(positions, shape)
        mask = causal_mask(self._seen(chunk).to(x.device))
        wanted = {len(self.module.layers) + n if n is not None and n < 0 else n for n in layers}
        found: dict[int | None, Tensor] = {}
        for i, state in enumerate(self.module.states(x, places, mask)):
            x = state
            if i in wanted:
                found[i] = state
        if None in wanted:
            found[None] = self.module.norm(x)
        taken = [
            found[len(self.module.layers) + n if n is not None and n < 0 else n] for n in layers
        ]
        start = self.reading.dropped(chunk.tokens)
        return torch.cat(taken, dim=-1)[:, start:].float().cpu()

    def _vectors(self, token: Token) -> Tensor:
        """What a token is read as, [T, D]."""
        table = self.module.embed_tokens
        device = table.weight.device
        if isinstance(token, int):
            if token >= table.num_embeddings:
                raise VocabularyError(self.title, token, table.num_embeddings)
            row: Tensor = table(torch.tensor([token], device=device))
            return row.float()
        if isinstance(token, Tensor):
            return token[None].to(device, torch.float32)
        tower = self.module.visual
        assert isinstance(tower, VisionTower)
        vectors: Tensor = tower(token.pixels.to(device, torch.float32))
        return vectors

    def _seen(self, chunk: Chunk) -> Tensor:
        """[1, T]: neither a pad nor behind one."""
        pads = [
            isinstance(token, int) and token == self.reading.pad
            for token in chunk.tokens
            for _ in range(_length(token))
        ]
        return torch.tensor([pads]).cumsum(dim=1) == 0


def _length(token: Token) -> int:
    """How many vectors a token is read as."""
    return math.prod(grid(*token.pixels.shape[:2])) if isinstance(token, Picture) else 1


def positions_of(tokens: Sequence[Token]) -> Tensor:
    """[3, T]: of words all three the same, of pictures where in the text, in which row and column.

    The text goes on behind the longer side of a picture.
    """
    found, at = [], 0
    for token in tokens:
        if isinstance(token, Picture):
            rows, columns = grid(*token.pixels.shape[:2])
            text = torch.tensor([at])
            inside = (text, torch.arange(rows) + at, torch.arange(columns) + at)
            found.append(torch.cartesian_prod(*inside))
            at += max(rows, columns)
        else:
            found.append(torch.full((1, 3), at))
            at += 1
    return torch.cat(found).T


def expected_llm_bytes(part: Weights, dtype: torch.dtype) -> int:
    """About what it takes in memory."""
    return narrow_bytes(part, dtype, without=HEAD)


def load_llm(
    part: Weights,
    dtype: torch.dtype,
    device: torch.device,
    kind: Callable[[LlmShape], LlmShape] = lambda shape: shape,
) -> Llm:
    """The language model in `part`, named without prefix. Matrices take at most `dtype`'s bytes.

    `kind` says what the file does not.

    Raises:
        BadModelFile: it is incomplete.
    """
    shape = kind(read_llm_shape(part))
    with torch.device("meta"):
        module = Llm(shape)
    fill_narrow(module, part, dtype, device, tables=(TABLE,))
    if shape.gemma:
        for name, parameter in module.named_parameters():
            if "norm" in name:  # the file has how far they are from 1
                parameter.copy_(part[name] + 1.0)
    return module
