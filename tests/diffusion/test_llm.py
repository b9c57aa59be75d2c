"""Language models as text encoders, against transformers' own; Qwen's tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.networks.packed_layers import PackedLinear
from diffusion.text.llm_network import LlmShape, rotary
from diffusion.text.llm_part import LONGEST, LlmPart, LlmReading, TextTooLongError, load_llm
from diffusion.text.networks import find_qwen3
from diffusion.text.prompt import no_embeddings
from diffusion.text.qwen_tokenizer import PAD, QWEN_FILE, QwenTokenizer
from diffusion.text.tokenizer_files import FILE, TokenizerMissingError, find_tokenizer
from graph.errors import BadModelFile
from tests.diffusion.llm_files import QWEN3, QWEN25, letters, llm_tensors
from tests.diffusion.model_files import CPU
from tests.diffusion.test_text_encoder import in_memory

PLAIN = LlmReading(template="<{}>", layers=(None,), pad=0)


def part(
    shape: LlmShape = QWEN3, reading: LlmReading = PLAIN, dtype: torch.dtype = torch.float32
) -> LlmPart:
    tensors = {key: tensor.to(dtype) for key, tensor in llm_tensors(shape, "").items()}
    module = load_llm(in_memory(tensors), torch.float32, CPU)
    return LlmPart("qwen3", "Qwen3", module, letters, reading)


def encoded(part: LlmPart, text: str, layer: int | None = None) -> Tensor:
    with torch.inference_mode():
        (states,) = part.encoded([part.chunks(text, no_embeddings)], layer)
    return states.tokens


def transformers_states(shape: LlmShape, tokens: list[int], seen: list[int]) -> Any:
    """The states before the first layer, after each, and after the last one's norm."""
    from transformers import Qwen2Config, Qwen2Model, Qwen3Config, Qwen3Model  # noqa: PLC0415

    kind: Any = (Qwen3Model, Qwen3Config) if shape.normed else (Qwen2Model, Qwen2Config)
    config = kind[1](
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head,
        rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
        pad_token_id=0,
    )
    config.head_dim = shape.head
    module = kind[0](config).eval()
    module.load_state_dict(llm_tensors(shape, ""))
    with torch.no_grad():
        return module(
            torch.tensor([tokens]), attention_mask=torch.tensor([seen]), output_hidden_states=True
        ).hidden_states


@pytest.mark.parametrize("shape", [QWEN3, QWEN25], ids=["qwen3", "qwen2.5"])
def test_it_answers_as_transformers_does(shape: LlmShape) -> None:
    tokens = letters("<a red fox>")
    expected = transformers_states(shape, tokens, [1] * len(tokens))
    assert torch.allclose(encoded(part(shape), "a red fox"), expected[-1], atol=1e-5)
    second_last = part(shape, LlmReading("<{}>", (-2,), pad=0))
    assert torch.allclose(encoded(second_last, "a red fox"), expected[-2], atol=1e-5)


def test_padding_is_not_seen_and_several_layers_stand_side_by_side() -> None:
    reading = LlmReading("{}", (0, 1), pad=0, shortest=9)
    tokens = letters("fox") + [0] * 6
    expected = transformers_states(QWEN3, tokens, [1] * 3 + [0] * 6)
    answer = encoded(part(QWEN3, reading), "fox")
    assert torch.allclose(answer, torch.cat([expected[1], expected[2]], dim=-1), atol=1e-5)
    skipped = encoded(part(QWEN3, reading), "fox", layer=-1)
    assert torch.equal(skipped, answer)  # clip skip is for those of one layer


def test_clip_skip_reads_another_layer() -> None:
    qwen = part(QWEN3, LlmReading("{}", (-2,), pad=0))
    assert torch.equal(encoded(qwen, "fox", -2), encoded(qwen, "fox"))
    assert not torch.allclose(encoded(qwen, "fox", -1), encoded(qwen, "fox"))
    last = part(QWEN3, LlmReading("{}", (None,), pad=0))
    assert torch.equal(encoded(qwen, "fox", -20), encoded(last, "fox"))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.bfloat16])
def test_narrow_weights_stay_narrow_and_count_as_wide_ones(dtype: torch.dtype) -> None:
    narrow = part(dtype=dtype)
    tensors = {key: t.to(dtype).float() for key, t in llm_tensors(QWEN3, "").items()}
    module = load_llm(in_memory(tensors), torch.float32, CPU)
    wide = LlmPart("qwen3", "Qwen3", module, letters, PLAIN)
    layers = [layer for layer in narrow.module.modules() if isinstance(layer, PackedLinear)]
    assert len(layers) == QWEN3.layers * 7
    assert {layer.weight.dtype for layer in layers} == {dtype}
    assert torch.equal(encoded(narrow, "fox"), encoded(wide, "fox"))


def test_parentheses_are_letters() -> None:
    (chunk,) = part().chunks(r"(fox:1.3) \(cat\)", no_embeddings)
    assert chunk.tokens == tuple(letters("<(fox:1.3) (cat)>"))
    assert not chunk.weighted


def test_vectors_stand_where_they_are_named() -> None:
    vector = torch.ones(2, QWEN3.width)
    (chunk,) = part().chunks("a embedding:fox b", lambda name: vector if name == "fox" else None)
    before, after = letters("<a"), letters("b>")
    assert len(chunk.tokens) == len(before) + 2 + len(after)
    first = chunk.tokens[len(before)]
    assert isinstance(first, Tensor)
    assert torch.equal(first, vector[0])


def test_a_prompt_may_be_too_long() -> None:
    assert len(part().chunks("a" * (LONGEST - 2), no_embeddings)[0].tokens) == LONGEST
    with pytest.raises(TextTooLongError, match=str(LONGEST + 1)):
        part().chunks("a" * (LONGEST - 1), no_embeddings)


@pytest.mark.parametrize("prefix", ["model.", "", "text_encoders.qwen3_4b.transformer.model."])
def test_it_is_found_wherever_files_keep_it(prefix: str) -> None:
    found = find_qwen3(in_memory(llm_tensors(QWEN3, prefix)))
    assert found is not None
    assert load_llm(found, torch.float32, CPU).shape == QWEN3
    assert find_qwen3(in_memory(llm_tensors(QWEN25, prefix))) is None


def test_an_incomplete_file_is_said_to_be() -> None:
    tensors = llm_tensors(QWEN3, "")
    del tensors["layers.1.mlp.up_proj.weight"]
    with pytest.raises(BadModelFile, match=r"layers\.1\.mlp\.up_proj"):
        load_llm(in_memory(tensors), torch.float32, CPU)
    tensors["layers.0.self_attn.q_norm.weight"] = torch.zeros(0)
    with pytest.raises(BadModelFile, match="incomplete"):
        load_llm(in_memory(tensors), torch.float32, CPU)


def test_positions_turn_both_halves_of_a_head_alike() -> None:
    cosines, sines = rotary(torch.arange(4).expand(3, -1), QWEN3)
    assert cosines.shape == (4, QWEN3.head)
    assert torch.equal(*cosines.chunk(2, dim=-1))
    assert torch.equal(sines[0], torch.zeros(QWEN3.head))


def test_texts_are_cut_as_qwens_vocabulary_says() -> None:
    tokenizer = QwenTokenizer(find_tokenizer(QWEN_FILE, None))
    text = "<|im_start|>user\na red fox, 雪<|im_end|>\n<think>\n\n</think>\n\n<|endoftext|>"
    start, end, think = [151644, 872, 198], [151645, 198], [151667, 271, 151668, 271]
    assert tokenizer(text) == [*start, 64, 2518, 38835, 11, 18137, 249, 103, *end, *think, PAD]


def test_the_tokenizer_of_the_models_folder_goes_first(tmp_path: Path) -> None:
    with pytest.raises(TokenizerMissingError, match=f"Qwen.*{QWEN_FILE.folder}/{FILE}"):
        find_tokenizer(QWEN_FILE, tmp_path, "no_such_package")
    own = tmp_path / QWEN_FILE.folder / FILE
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    assert find_tokenizer(QWEN_FILE, tmp_path) == own
