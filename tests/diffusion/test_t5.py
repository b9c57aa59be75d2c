"""T5 against transformers' own, and what families make of it; its tokenizer's tokens."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.families.registry import FAMILIES
from diffusion.networks.packed_layers import PackedLinear
from diffusion.text.encoder import Prompt, TextEncoder, load_text_encoder
from diffusion.text.encodings import Tokenizers, only
from diffusion.text.prompt import Chunk, no_embeddings
from diffusion.text.t5_part import LONGEST, Padding, PromptTooLongError, T5Part, load_t5
from diffusion.text.t5_tokenizer import T5_FILE, T5Tokenizer
from diffusion.text.tokenizer import END, ClipTokenizer
from diffusion.text.tokenizer_files import FILE, TokenizerMissingError, find_tokenizer
from diffusion.weights import Weights
from graph.errors import BadModelFile
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.test_lora_text import clip_tensors
from tests.diffusion.test_text_encoder import in_memory

WIDTH, HEADS, LAYERS, WORDS = 32, 4, 3, 40
SHARED = {"shared.weight": (WORDS, WIDTH), "encoder.final_layer_norm.weight": (WIDTH,)}


def letters(text: str) -> list[int]:
    """A tokenizer of one token a letter."""
    return [2 + ord(letter) % (WORDS - 2) for letter in text]


def t5_tensors(prefix: str = "") -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = dict(SHARED)
    for i in range(LAYERS):
        attention, perceptron = f"encoder.block.{i}.layer.0.", f"encoder.block.{i}.layer.1."
        shapes |= {f"{attention}SelfAttention.{n}.weight": (WIDTH, WIDTH) for n in "qkvo"}
        shapes |= {f"{at}layer_norm.weight": (WIDTH,) for at in (attention, perceptron)}
        shapes |= {f"{perceptron}DenseReluDense.wi_{n}.weight": (64, WIDTH) for n in (0, 1)}
        shapes[f"{perceptron}DenseReluDense.wo.weight"] = (WIDTH, 64)
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    shapes[bias] = (32, HEADS)
    return {prefix + key: seeded(key, shape) for key, shape in shapes.items()}


def part(tensors: Mapping[str, Tensor], shortest: int = 6) -> T5Part:
    weights = tensors if isinstance(tensors, Weights) else in_memory(tensors)
    module = load_t5(weights, torch.float32, CPU)
    return T5Part("t5xxl", module, letters, Padding(shortest), torch.float32)


def transformers_answer(tokens: list[int]) -> Tensor:
    from transformers import T5Config, T5EncoderModel  # noqa: PLC0415

    config = T5Config(
        vocab_size=WORDS,
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=64,
        num_layers=LAYERS,
        num_heads=HEADS,
        feed_forward_proj="gated-gelu",
    )
    module: Any = T5EncoderModel(config)
    module.eval()
    module.load_state_dict(t5_tensors(), strict=False)
    with torch.no_grad():
        answer: Tensor = module(torch.tensor([tokens])).last_hidden_state
    return answer


def encoded(part: T5Part, text: str, layer: int | None = None) -> Tensor:
    with torch.inference_mode():
        (states,) = part.encoded([part.chunks(text, no_embeddings)], layer)
    return states.tokens


def test_it_answers_as_transformers_does() -> None:
    expected = transformers_answer([*letters("fox"), 1, 0, 0])  # end, then padding that is seen
    assert torch.allclose(encoded(part(t5_tensors()), "fox"), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float16])
def test_narrow_weights_stay_narrow(dtype: torch.dtype) -> None:
    tensors = {key: tensor.to(dtype) for key, tensor in t5_tensors().items()}
    narrow, wide = part(tensors), part({key: t.float() for key, t in tensors.items()})
    layers = [layer for layer in narrow.module.modules() if isinstance(layer, PackedLinear)]
    assert len(layers) == LAYERS * 7
    assert {layer.weight.dtype for layer in layers} == {dtype}
    assert torch.equal(encoded(narrow, "fox"), encoded(wide, "fox"))


def test_weights_move_tokens_from_the_empty_prompt() -> None:
    t5 = part(t5_tensors())
    plain, empty = encoded(t5, "fox"), encoded(t5, "")
    weighted = encoded(t5, "(fox:1.5)")
    assert torch.allclose(weighted[:, :3], empty[:, :3] + 1.5 * (plain - empty)[:, :3], atol=1e-5)
    assert torch.allclose(weighted[:, 3:], plain[:, 3:], atol=1e-6)


def test_clip_skip_reads_another_layer() -> None:
    t5 = part(t5_tensors())
    assert torch.equal(encoded(t5, "fox", -1), encoded(t5, "fox"))
    assert not torch.allclose(encoded(t5, "fox", -2), encoded(t5, "fox"))
    assert torch.equal(encoded(t5, "fox", -20), encoded(t5, "fox"))


def test_a_prompt_may_be_too_long() -> None:
    t5 = part(t5_tensors())
    assert len(t5.chunks("a" * (LONGEST - 1), no_embeddings)[0].tokens) == LONGEST
    with pytest.raises(PromptTooLongError, match=str(LONGEST + 1)):
        t5.chunks("a" * LONGEST, no_embeddings)


def families(kind: str, *widths: int, t5: bool = True) -> TextEncoder:
    files: list[Weights] = [in_memory(clip_tensors(width, END + 1)) for width in widths]
    files += [in_memory(t5_tensors("t5xxl.transformer."))] * t5
    tokenizers = Tokenizers(ClipTokenizer(), lambda: letters, lambda: letters, lambda: letters)
    return load_text_encoder(
        files, tokenizers, FAMILIES.texts, dtype=torch.float32, device=CPU, kind=kind
    )


def test_flux_reads_t5_and_the_pooled_state_of_clip() -> None:
    encoder = families("flux", 768)
    (both,) = encoder.encode([Prompt("fox", text_t5="cat")])
    assert both.pooled is not None
    assert (both.tokens.shape, both.pooled.shape) == ((1, 256, WIDTH), (1, 768))
    (other,) = encoder.encode([Prompt("dog", text_t5="cat")])
    assert other.pooled is not None
    assert torch.equal(both.tokens, other.tokens)
    assert not torch.equal(both.pooled, other.pooled)


@pytest.mark.parametrize(
    ("widths", "t5"), [((768, 1280), False), ((1280,), False), ((768,), False)]
)
def test_stable_diffusion_3_pads_what_is_missing(widths: tuple[int, ...], t5: bool) -> None:
    (answer,) = families("sd3", *widths, t5=t5).encode([Prompt("fox")])
    assert answer.pooled is not None
    assert (answer.tokens.shape, answer.pooled.shape) == ((1, 77, 4096), (1, 2048))
    starts = {768: 0, 1280: 768}
    for width, start in starts.items():
        own = answer.tokens[..., start : start + width]
        assert bool(own.any()) is (width in widths)
        assert bool(answer.pooled[:, start : start + width].any()) is (width in widths)
    assert not answer.tokens[..., 2048:].any()


@pytest.mark.parametrize("kind", ["flux", "stable_diffusion"])
def test_networks_that_nobody_reads_together_are_refused(kind: str) -> None:
    with pytest.raises(BadModelFile, match="T5"):
        families(kind, 1280)


def test_a_t5_needs_its_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(TokenizerMissingError, match=f"{T5_FILE.folder}/{FILE}"):
        find_tokenizer(T5_FILE, tmp_path, "no_such_package")
    own = tmp_path / T5_FILE.folder / FILE
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    assert find_tokenizer(T5_FILE, tmp_path) == own


def test_texts_are_cut_as_t5s_vocabulary_says() -> None:
    tokenizer = T5Tokenizer(find_tokenizer(T5_FILE, None))
    text = "a photo of a red fox in the snow, golden hour"
    expected = [3, 9, 1202, 13, 3, 9, 1131, 3, 20400, 16, 8, 2983, 6, 7069, 1781]
    assert tokenizer(text) == expected
    assert tokenizer("") == []


def test_padding_follows_the_end_of_a_prompt() -> None:
    long, behind = Padding(9), Padding(2, behind=5)
    for padding, expected in ((long, [1, *[0] * 5]), (behind, [1, *[0] * 5]), (Padding(0), [1])):
        chunk = replace(part(t5_tensors()), padding=padding).chunks("fox", no_embeddings)[0]
        assert list(chunk.tokens) == [*letters("fox"), *expected]
    with pytest.raises(PromptTooLongError, match=str(LONGEST + 4)):
        replace(part(t5_tensors()), padding=Padding(0, LONGEST)).chunks("fox", no_embeddings)


def test_weights_may_be_measured_from_padding_alone() -> None:
    t5 = replace(part(t5_tensors()), empty_ends=False)
    plain, weighted = encoded(t5, "fox"), encoded(t5, "(fox:1.5)")
    with torch.inference_mode():
        empty = t5.encoded([[Chunk((0,) * 6, (1.0,) * 6)]], None)[0].tokens
    assert torch.allclose(weighted[:, :3], empty[:, :3] + 1.5 * (plain - empty)[:, :3], atol=1e-5)


def test_an_encoder_pads_as_it_is_asked() -> None:
    tokenizers = Tokenizers(ClipTokenizer(), lambda: letters, lambda: letters, lambda: letters)
    encoder = TextEncoder((part(t5_tensors()),), tokenizers, 0, {}, joined=only)
    own, asked = (encoder.encode([Prompt("fox")], t5_padding=p)[0] for p in (None, Padding(11)))
    assert (own.tokens.shape[1], asked.tokens.shape[1]) == (6, 11)
