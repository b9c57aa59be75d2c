"""Finds in files the text encoders that families share."""

import math
from collections.abc import Callable
from functools import partial

import torch

from diffusion.text.clip_layout import PartName, find_parts
from diffusion.text.clip_part import ClipPart, Reading, load_clip
from diffusion.text.encodings import MakePart, TextNetwork, TextPart, TextTools
from diffusion.text.llm_network import GEMMA, as_mistral, read_llm_shape
from diffusion.text.llm_part import LlmPart, LlmReading, expected_llm_bytes, load_llm
from diffusion.text.prompt import Tokenizer
from diffusion.text.qwen_vision import load_tower
from diffusion.text.sentence_pieces import KEY, sentence_pieces
from diffusion.text.t5_part import (
    Padding,
    T5Part,
    expected_t5_bytes,
    find_t5,
    find_umt5,
    load_t5,
    read_t5_config,
)
from diffusion.text.tekken import KEY as TEKKEN
from diffusion.text.tekken import tekken
from diffusion.weights import Weights

# Where files keep a language model: published files, what ComfyUI saves, and one without a head.
LLM_PREFIXES = (
    "model.",
    "text_encoders.qwen3_4b.transformer.model.",
    "text_encoders.qwen3_8b.transformer.model.",
    "qwen3_4b.transformer.model.",
    "qwen3_8b.transformer.model.",
    "qwen3_06b.transformer.model.",
    "",
)
SMALLEST_QWEN3 = 1024  # channels
MISTRAL = "mistral3_24b."  # before what ComfyUI saves of it
MISTRAL_WIDTH = 5120


def find_qwen3(weights: Weights) -> Weights | None:
    """The Qwen3 in a file, named without prefix, but for the smallest."""
    part = _qwen3(weights)
    return None if part is None or _is_smallest(part) else part


def find_qwen3_06b(weights: Weights) -> Weights | None:
    """The smallest Qwen3 in a file, which is no other family's."""
    part = _qwen3(weights)
    return part if part is not None and _is_smallest(part) else None


def _is_smallest(part: Weights) -> bool:
    return part.shape("layers.0.post_attention_layernorm.weight") == (SMALLEST_QWEN3,)


def _qwen3(weights: Weights) -> Weights | None:
    """What norms its queries, and no more than that."""
    for part in map(weights.under, LLM_PREFIXES):
        if "layers.0.self_attn.q_norm.weight" in part and "layers.0.mlp.gate_proj.weight" in part:
            more = "layers.0.post_feedforward_layernorm.weight"
            return None if more in part else part
    return None


def find_qwen25(weights: Weights) -> Weights | None:
    """The Qwen2.5-VL in a file, named `model.` and `visual.`: its keys have biases."""
    for prefix in ("", "text_encoders.qwen25_7b.transformer.", "qwen25_7b.transformer."):
        part = weights.under(prefix)
        if "model.layers.0.self_attn.k_proj.bias" in part:
            return part
    return None


def find_gemma2(weights: Weights) -> Weights | None:
    """The Gemma 2 in a file, with the tokenizer that lies beside it."""
    parts = map(weights.under, ("", "text_encoders."))
    return next((part for part in parts if _gemma2(part) is not None), None)


def _gemma2(part: Weights) -> Weights | None:
    """Its network, named without prefix."""
    for own in map(part.under, ("model.", "gemma2_2b.transformer.model.")):
        if GEMMA in own and "layers.0.self_attn.q_norm.weight" not in own:
            return own
    return None


def find_mistral3(weights: Weights) -> Weights | None:
    """The Mistral 3 in a file, with the tokenizer that lies beside it."""
    for part in map(weights.under, ("", "text_encoders.")):
        own = _mistral3(part)
        if own is not None and (
            TEKKEN in part or own.shape("embed_tokens.weight")[1:] == (MISTRAL_WIDTH,)
        ):
            return part
    return None


def _mistral3(part: Weights) -> Weights | None:
    """Its network, named without prefix: built as Llama's, no norms or biases in attention."""
    for own in map(part.under, ("model.", f"{MISTRAL}transformer.model.")):
        if "layers.0.self_attn.q_proj.weight" in own and "embed_tokens.weight" in own:
            more = (GEMMA, "layers.0.self_attn.q_norm.weight", "layers.0.self_attn.k_proj.bias")
            return None if any(key in own for key in more) else own
    return None


def _no_tokenizer(part: Weights) -> Callable[[], Tokenizer]:
    def missing() -> Tokenizer:
        raise part.bad(problem=f"it carries no tokenizer '{KEY}', as files of Gemma 2 do")

    return missing


def _find_clip(name: PartName, weights: Weights) -> Weights | None:
    return find_parts(weights).get(name)


def _clip_bytes(part: Weights, dtype: torch.dtype) -> int:
    return sum(math.prod(part.shape(key)) for key in part) * dtype.itemsize


def _clip(name: PartName) -> TextNetwork:
    return TextNetwork(name, f"CLIP-{name.upper()}", partial(_find_clip, name), _clip_bytes)


CLIP_L, CLIP_G, CLIP_H = map(_clip, ("l", "g", "h"))
T5 = TextNetwork("t5xxl", "T5", find_t5, expected_t5_bytes)
UMT5 = TextNetwork("umt5xxl", "UMT5", find_umt5, expected_t5_bytes)
QWEN3 = TextNetwork("qwen3", "Qwen3", find_qwen3, expected_llm_bytes)
QWEN3_06B = TextNetwork("qwen3_06b", "Qwen3 0.6B", find_qwen3_06b, expected_llm_bytes)
QWEN25 = TextNetwork("qwen25_7b", "Qwen2.5-VL", find_qwen25, expected_llm_bytes)
MISTRAL3 = TextNetwork("mistral3_24b", "Mistral 3", find_mistral3, expected_llm_bytes)
GEMMA2 = TextNetwork("gemma2_2b", "Gemma 2", find_gemma2, expected_llm_bytes)


def clip(network: TextNetwork, reading: Reading) -> MakePart:
    """A CLIP of which this reading is taken."""

    def make(part: Weights, tools: TextTools) -> TextPart:
        module = load_clip(part, tools.dtype, tools.device)
        return ClipPart(network.name, module, reading, tools.tokenizers.clip)

    return make


def t5(*, shortest: int, empty_ends: bool = True, padding_counts: bool = True) -> MakePart:
    """A T5 whose prompts are padded to `shortest` tokens.

    The empty prompt, from which weights move tokens, has an end token, or is all padding. Unless
    `padding_counts`, nothing sees the padding, and its states are left out.
    """

    def make(part: Weights, tools: TextTools) -> TextPart:
        tokenizer = tools.tokenizers.t5()  # before the weights, which are large
        module = load_t5(part, tools.dtype, tools.device)
        padding = Padding(shortest)
        hidden = {"masked": not padding_counts, "dropped": not padding_counts}
        return T5Part(
            "t5xxl", module, tokenizer, padding, tools.dtype, empty_ends=empty_ends, **hidden
        )

    return make


def umt5(*, shortest: int) -> MakePart:
    """A UMT5 whose prompts are padded to `shortest` tokens, which nothing sees."""

    def make(part: Weights, tools: TextTools) -> TextPart:
        rows = read_t5_config(part)["vocab_size"]
        tokenizer = sentence_pieces(part, tools.tokenizers.umt5, rows=rows)
        module = load_t5(part, tools.dtype, tools.device)
        return T5Part("umt5xxl", module, tokenizer, Padding(shortest), tools.dtype, masked=True)

    return make


def qwen3(reading: LlmReading) -> MakePart:
    """A Qwen3 that is read so."""

    def make(part: Weights, tools: TextTools) -> TextPart:
        tokenizer = tools.tokenizers.qwen()  # before the weights, which are large
        module = load_llm(part, tools.dtype, tools.device)
        return LlmPart(QWEN3.name, QWEN3.title, module, tokenizer, reading)

    return make


def qwen25(reading: LlmReading, *, sees: bool = True) -> MakePart:
    """A Qwen2.5-VL that is read so, with its vision tower if it `sees` and the file has one."""

    def make(part: Weights, tools: TextTools) -> TextPart:
        tokenizer = tools.tokenizers.qwen()  # before the weights, which are large
        module = load_llm(part.under("model."), tools.dtype, tools.device)
        visual = part.under("visual.")
        if visual and sees:
            module.visual = load_tower(visual, tools.dtype, tools.device)
        return LlmPart(QWEN25.name, QWEN25.title, module, tokenizer, reading)

    return make


def gemma2(reading: LlmReading) -> MakePart:
    """A Gemma 2 that is read so, by the tokenizer in its file."""

    def make(part: Weights, tools: TextTools) -> TextPart:
        own = _gemma2(part)
        assert own is not None
        rows = read_llm_shape(own).vocabulary
        tokenizer = sentence_pieces(part, _no_tokenizer(part), rows=rows)
        module = load_llm(own, tools.dtype, tools.device)
        return LlmPart(GEMMA2.name, GEMMA2.title, module, tokenizer, reading)

    return make


def mistral3(reading: LlmReading) -> MakePart:
    """A Mistral 3 that is read so, by the tokenizer in its file."""

    def make(part: Weights, tools: TextTools) -> TextPart:
        own = _mistral3(part)
        assert own is not None
        tokenizer = tekken(part, rows=read_llm_shape(own).vocabulary)
        module = load_llm(own, tools.dtype, tools.device, as_mistral)
        return LlmPart(MISTRAL3.name, MISTRAL3.title, module, tokenizer, reading)

    return make
