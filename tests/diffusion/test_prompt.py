"""ComfyUI's prompt syntax and chunks.

tests/contract/prompts.json.gz has pairs of a text and the (token, weight) chunks that
comfy.sd1_clip.SDTokenizer gave: nested, unbalanced and escaped parentheses, odd weights,
embeddings that are not there, and prompts of several chunks, most of them random.
"""

import gzip
import json

import pytest
import torch

from diffusion.text.prompt import Chunk, PromptDepthError, chunks, segments
from diffusion.text.tokenizer import END, START, ClipTokenizer
from tests.diffusion.model_files import CONTRACT


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer()


def pairs(chunk: Chunk) -> list[list[object]]:
    return [list(pair) for pair in zip(chunk.tokens, chunk.weights, strict=True)]


def test_every_recorded_prompt_gives_the_recorded_chunks(tokenizer: ClipTokenizer) -> None:
    recorded = json.loads(gzip.decompress((CONTRACT / "prompts.json.gz").read_bytes()))
    for text, expected in recorded:
        assert [pairs(c) for c in chunks(text, tokenizer, pad=END)] == expected, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a:1.5) b", [("a", 1.5), (" b", 1.0)]),
        ("((a))", [("a", 1.1 * 1.1)]),
        ("((a:2))", [("a", 2.0)]),
        (r"\(a\) (b\))", [("(a) ", 1.0), ("b)", 1.1)]),
        ("[a] (b", [("[a] ", 1.0), ("(b", 1.0)]),
        ("(:2)", [(":2", 1.1)]),
        ("", []),
    ],
)
def test_parentheses_weigh_their_text(text: str, expected: list[tuple[str, float]]) -> None:
    assert segments(text) == expected


def test_a_chunk_is_padded_with_the_encoders_own_token(tokenizer: ClipTokenizer) -> None:
    (chunk,) = chunks("fox", tokenizer, pad=0)
    assert chunk.tokens == (START, 3240, END, *[0] * 74)


def test_the_vectors_of_an_embedding_stand_where_its_name_stood(tokenizer: ClipTokenizer) -> None:
    vectors = torch.ones(2, 4)
    (chunk,) = chunks("a (embedding:x:1.5) b", tokenizer, pad=END, embeddings={"x": vectors}.get)
    assert [isinstance(token, int) for token in chunk.tokens[:5]] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert chunk.weights[:5] == (1.0, 1.0, 1.5, 1.5, 1.0)


def test_a_comma_after_an_embeddings_name_is_not_part_of_it(tokenizer: ClipTokenizer) -> None:
    (chunk,) = chunks("embedding:x, a", tokenizer, pad=END, embeddings={"x": torch.ones(4)}.get)
    assert chunk.tokens[2:5] == (*tokenizer(", a"), END)


def test_parentheses_that_nest_too_deep_are_refused() -> None:
    with pytest.raises(PromptDepthError, match="more than 100"):
        segments("(" * 101 + "a" + ")" * 101)


def test_a_hundred_parentheses_inside_each_other_are_read() -> None:
    ((text, weight),) = segments("(" * 100 + "a" + ")" * 100)
    assert text == "a"
    assert weight == pytest.approx(1.1**100)
