"""UMT5 against transformers' own, and the tokenizer that its files carry."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.text.encodings import TextTools
from diffusion.text.networks import T5, UMT5, umt5
from diffusion.text.prompt import no_embeddings
from diffusion.text.sentence_pieces import KEY, UMT5_FILE
from diffusion.text.t5_part import T5Part
from diffusion.text.tokenizer_files import TokenizerMissingError, find_tokenizer
from graph.errors import BadModelFile
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.test_t5 import HEADS, LAYERS, WIDTH, WORDS, t5_tensors
from tests.diffusion.test_text_encoder import TOKENIZERS, in_memory

TEXTS = ("a red fox in the snow", "snow falls on the fox", "the red light of an old town")


@pytest.fixture(scope="module")
def pieces() -> Tensor:
    """A tokenizer of a few pieces."""
    from sentencepiece import SentencePieceTrainer  # noqa: PLC0415

    file = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20),
        model_writer=file,
        vocab_size=WORDS - 4,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=3,
    )
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def umt5_tensors() -> dict[str, Tensor]:
    bias = "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.weight"
    names = [bias.format(i) for i in range(LAYERS)]
    return t5_tensors() | {name: seeded(name, (32, HEADS)) * 8 for name in names}


def part(tensors: dict[str, Tensor]) -> T5Part:
    found = UMT5.find(in_memory(tensors))
    assert found is not None
    made = umt5(shortest=12)(found, TextTools(TOKENIZERS, torch.float32, CPU))
    assert isinstance(made, T5Part)
    return made


def encoded(part: T5Part, text: str) -> Tensor:
    with torch.inference_mode():
        (states,) = part.encoded([part.chunks(text, no_embeddings)], None)
    return states.tokens


def test_it_answers_as_transformers_does_and_padding_with_zeros(pieces: Tensor) -> None:
    from transformers import UMT5Config, UMT5EncoderModel  # noqa: PLC0415

    config = UMT5Config(
        vocab_size=WORDS,
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=64,
        num_layers=LAYERS,
        num_heads=HEADS,
        feed_forward_proj="gated-gelu",
    )
    module: Any = UMT5EncoderModel(config)
    module.eval()
    module.load_state_dict(umt5_tensors(), strict=False)
    own = part(umt5_tensors() | {KEY: pieces})
    (chunk,) = own.chunks("fox", no_embeddings)
    length = chunk.tokens.index(1) + 1
    assert 1 < length < len(chunk.tokens) == 12
    seen = torch.tensor([[1] * length + [0] * (12 - length)])
    with torch.no_grad():
        expected = module(torch.tensor([chunk.tokens]), attention_mask=seen).last_hidden_state
    answer = encoded(own, "fox")
    assert torch.allclose(answer[:, :length], expected[:, :length], atol=1e-5)
    assert not answer[:, length:].any()


def test_weights_move_words_from_the_empty_prompt(pieces: Tensor) -> None:
    own = part(umt5_tensors() | {KEY: pieces})
    plain, empty, weighted = (encoded(own, text) for text in ("fox", "", "(fox:1.5)"))
    length = own.chunks("fox", no_embeddings)[0].tokens.index(1)
    expected = empty + 1.5 * (plain - empty)
    assert torch.allclose(weighted[:, :length], expected[:, :length], atol=1e-5)
    assert torch.equal(weighted[:, length:], plain[:, length:])


def test_its_files_are_told_from_those_of_t5() -> None:
    assert UMT5.find(in_memory(t5_tensors())) is None
    assert T5.find(in_memory(umt5_tensors())) is None
    assert T5.find(in_memory(t5_tensors())) is not None


def test_the_tokenizer_of_the_file_is_read(pieces: Tensor) -> None:
    own, other = part(umt5_tensors() | {KEY: pieces}), part(umt5_tensors())
    text = "the fox"
    assert own.tokenizer(text) != other.tokenizer(text)
    assert all(2 < token < WORDS for token in own.tokenizer(text))
    assert own.tokenizer("") == []
    assert own.tokenizer("fox \ud800") == own.tokenizer("fox ")


@pytest.mark.parametrize(
    ("tokenizer", "problem"),
    [(torch.zeros(9, dtype=torch.uint8), "cannot be read"), (torch.zeros(2**25 + 1), "at most")],
)
def test_a_tokenizer_that_is_none_is_refused(tokenizer: Tensor, problem: str) -> None:
    with pytest.raises(BadModelFile, match=problem):
        part(umt5_tensors() | {KEY: tokenizer})


def test_a_tokenizer_for_another_table_is_refused(pieces: Tensor) -> None:
    tensors = umt5_tensors() | {KEY: pieces, "shared.weight": torch.zeros(20, WIDTH)}
    with pytest.raises(BadModelFile, match="tokens, its table 20"):
        part(tensors)


def test_a_missing_tensor_is_named() -> None:
    tensors = umt5_tensors()
    name = "encoder.block.2.layer.0.SelfAttention.relative_attention_bias.weight"
    del tensors[name]
    with pytest.raises(BadModelFile, match=name.replace(".", r"\.")):
        part(tensors)


def test_files_without_one_take_the_installed_tokenizer(tmp_path: Path) -> None:
    assert find_tokenizer(UMT5_FILE, tmp_path).name == "spiece.model"
    with pytest.raises(TokenizerMissingError, match="umt5_tokenizer"):
        find_tokenizer(UMT5_FILE, tmp_path, "no_such_package")
