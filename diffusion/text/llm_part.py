"""One language model of a text encoder: what it reads of a prompt, and which states are taken.

Weights in parentheses are no syntax here, they stay in the text. Whatever the precision of its
weights, it computes in float32, as ComfyUI's do. (ComfyUI comfy/sd1_clip.py, SDClipModel)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.networks.filling import copied, fill
from diffusion.networks.float8 import SCALES, keep_narrow, linear_layers
from diffusion.text.clip_layout import PartName
from diffusion.text.clip_part import PartStates
from diffusion.text.llm_network import Llm, causal_mask, read_llm_shape, rotary
from diffusion.text.prompt import Chunk, Embeddings, Tokenizer, unweighted
from diffusion.weights import Weights
from graph.errors import ServiceError

LONGEST = 4096  # tokens of one prompt, whose memory grows with their square
TABLE = "embed_tokens.weight"


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


@dataclass(frozen=True)
class LlmReading:
    """How prompts are put to a language model, and what is taken of what it says.

    `template` has a {} for the prompt. Prompts shorter than `shortest` tokens are padded with
    `pad`, and nothing after the first pad is seen. `layers`: the states that are taken, side by
    side; a layer counts from the front, or from the end where it is negative, and None is the last
    one after the final norm. A single one may be replaced by clip skip.
    """

    template: str
    layers: tuple[int | None, ...]
    pad: int
    shortest: int = 1


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
        """The whole prompt as one. Raises TextTooLongError."""
        before, _, after = self.reading.template.partition("{}")
        tokens = list(unweighted(before + text + after, self.tokenizer, embeddings))
        if len(tokens) > LONGEST:
            raise TextTooLongError(self.title, LONGEST, len(tokens))
        tokens += [self.reading.pad] * (self.reading.shortest - len(tokens))
        return [Chunk(tuple(tokens), (1.0,) * len(tokens))]

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
        return [PartStates(self._run(prompt[0], layers)) for prompt in prompts]

    def _run(self, chunk: Chunk, layers: Sequence[int | None]) -> Tensor:
        """[1, T, D of all `layers`], float32 on the CPU."""
        x = self._embedded(chunk)
        places = rotary(torch.arange(x.shape[1], device=x.device), self.module.shape)
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
        return torch.cat(taken, dim=-1).float().cpu()

    def _embedded(self, chunk: Chunk) -> Tensor:
        table = self.module.embed_tokens.weight
        ids = [t if isinstance(t, int) else self.reading.pad for t in chunk.tokens]
        x = functional.embedding(torch.tensor([ids], device=table.device), table).float()
        for t, token in enumerate(chunk.tokens):
            if isinstance(token, Tensor):
                x[0, t] = token.to(x)
        return x

    def _seen(self, chunk: Chunk) -> Tensor:
        """[1, T]: neither a pad nor behind one."""
        pads = [isinstance(t, int) and t == self.reading.pad for t in chunk.tokens]
        return torch.tensor([pads]).cumsum(dim=1) == 0


def expected_llm_bytes(part: Weights, dtype: torch.dtype) -> int:
    """About what it takes in memory: weights narrower than `dtype` stay so."""
    return sum(
        math.prod(part.shape(key)) * min((part.dtype(key) or dtype).itemsize, dtype.itemsize)
        for key in part
    )


def load_llm(part: Weights, dtype: torch.dtype, device: torch.device) -> Llm:
    """The language model in `part`, named without prefix. Matrices take at most `dtype`'s bytes.

    Raises:
        BadModelFile: it is incomplete.
    """
    shape = read_llm_shape(part)
    with torch.device("meta"):
        module = Llm(shape)
    linear, wanted = linear_layers(module), {name for name, _ in module.named_parameters()}
    tensors, narrow = {}, {}
    for name in wanted & set(part):
        layer, _, leaf = name.rpartition(".")
        tensor = part[name]
        kept = torch.float32
        if (leaf == "weight" and layer in linear) or name == TABLE:
            kept = min(tensor.dtype, dtype, key=lambda one: one.itemsize)
        tensors[name] = copied(tensor, kept, device)
        if kept != torch.float32 and layer in linear:
            narrow[layer] = _scale(part, layer, device)
    keep_narrow(module, narrow)
    fill(module, part, tensors)
    return module


def _scale(part: Weights, layer: str, device: torch.device) -> Tensor | None:
    found = next((key for leaf in SCALES if (key := f"{layer}.{leaf}") in part), None)
    if found is None:
        return None
    scale = part[found].float()
    scale = scale.reshape(()) if scale.numel() == 1 else scale.reshape(-1, 1)
    return copied(scale, torch.float32, device)
