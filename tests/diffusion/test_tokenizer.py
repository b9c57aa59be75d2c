"""CLIP's tokenizer against transformers 4.57's Python CLIPTokenizer, which ComfyUI uses.

tests/contract/tokens.json.gz has pairs of a text and the ids that tokenizer gave, with ComfyUI's
own vocabulary and without ftfy: prose, numbers, contractions, emoji, CJK and other scripts, control
characters and spaces, special tokens in any case, and random strings over all of Unicode.
"""

import gzip
import json

import pytest

from diffusion.text.tokenizer import END, START, ClipTokenizer
from tests.diffusion.model_files import CONTRACT


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer()


def test_every_recorded_text_gives_the_recorded_tokens(tokenizer: ClipTokenizer) -> None:
    pairs = json.loads(gzip.decompress((CONTRACT / "tokens.json.gz").read_bytes()))
    assert [(text, tokenizer(text)) for text, _ in pairs] == [(text, ids) for text, ids in pairs]


def test_no_text_is_no_tokens(tokenizer: ClipTokenizer) -> None:
    assert tokenizer(" \t\n") == []


def test_special_tokens_in_the_text_are_themselves(tokenizer: ClipTokenizer) -> None:
    assert tokenizer("<|startoftext|> <|endoftext|>") == [START, END]


def test_half_a_surrogate_pair_is_left_out(tokenizer: ClipTokenizer) -> None:
    assert tokenizer("a \ud83d cat") == tokenizer("a cat")
