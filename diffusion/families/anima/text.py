"""What Anima reads of a prompt: what Qwen3 0.6B says in the end, and the words as T5 counts them.

Weights in parentheses are those of T5's words. (ComfyUI text_encoders/anima.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from diffusion.text.clip_part import PartStates
from diffusion.text.encodings import MakePart, TextEncoding, TextPart, TextTools, only
from diffusion.text.llm_part import LlmPart, LlmReading, TextTooLongError
from diffusion.text.networks import QWEN3_06B, qwen3
from diffusion.text.prompt import Chunk, Embeddings, Tokenizer, groups, no_embeddings
from diffusion.text.qwen_tokenizer import PAD
from diffusion.weights import Weights

READING = LlmReading("{}", layers=(None,), pad=PAD, weighted=True)
END = 1  # of T5's words
LONGEST = 4096
WORDS, WEIGHTS = "t5xxl_ids", "t5xxl_weights"


@dataclass(frozen=True, eq=False)
class TwofoldPart(LlmPart):
    """A language model, beside whose states a prompt's words are told as T5 counts them."""

    words: Tokenizer

    def chunks(self, text: str, embeddings: Embeddings) -> list[Chunk]:
        """What the model reads, without weights, and the words with theirs.

        Raises:
            TextTooLongError, PromptDepthError.
        """
        (read,) = super().chunks(text, embeddings)
        words = [own for group in groups(text, self.words, no_embeddings) for own in group]
        if len(words) >= LONGEST:
            raise TextTooLongError("T5", LONGEST, len(words) + 1)
        ids, weights = zip(*words, (END, 1.0), strict=True)
        return [replace(read, weights=(1.0,) * len(read.tokens)), Chunk(ids, weights)]

    def encoded(
        self, prompts: Sequence[list[Chunk]], stop_at_layer: int | None
    ) -> list[PartStates]:
        said = super().encoded([prompt[:1] for prompt in prompts], stop_at_layer)
        return [
            replace(states, extras=_adapter_words(prompt[1]))
            for states, prompt in zip(said, prompts, strict=True)
        ]


def _adapter_words(words: Chunk) -> dict[str, torch.Tensor]:
    return {WORDS: torch.tensor([words.tokens]), WEIGHTS: torch.tensor([words.weights])}


def _twofold(make: MakePart) -> MakePart:
    def twofold(part: Weights, tools: TextTools) -> TextPart:
        words = tools.tokenizers.t5()  # before the weights, which are large
        model = make(part, tools)
        assert isinstance(model, LlmPart)
        own = (model.name, model.title, model.module, model.tokenizer, model.reading)
        return TwofoldPart(*own, words)

    return twofold


TEXT = TextEncoding({QWEN3_06B: _twofold(qwen3(READING))}, only, recognised_by_networks=True)
