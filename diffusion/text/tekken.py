"""Mistral's tokenizer, `tekken`, which text encoders' files carry as `tekken_model`: JSON.

It lists tokens by rank, and no merges: a token is merged of any two that it may be cut into, the
lowest ranks first. (ComfyUI comfy/text_encoders/bpe_tokenizer.py, from_tekken_json)
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

from diffusion.text.carried_tokenizers import carried_tokenizer
from diffusion.weights import Weights

KEY = "tekken_model"
LONGEST = 2**22  # bytes of all tokens together
LONGEST_TOKEN = 1024  # bytes; all cuts of a token are looked at, which is its length squared
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

NONE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def _letters() -> dict[int, str]:
    """The letter that stands for each byte in byte-level vocabularies. (Radford et al. 2019)"""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(shown)]
    return {byte: chr(byte) for byte in shown} | {b: chr(256 + n) for n, b in enumerate(hidden)}


class Tekken:
    """Text to token ids, without the token that begins a prompt. Safe to share between threads."""

    def __init__(self, data: bytes) -> None:
        """Raises one of `NONE` where the bytes are no tokenizer."""
        said = json.loads(data)
        first = int(said["config"]["default_num_special_tokens"])
        count = int(said["config"]["default_vocab_size"]) - first
        special = {_special(one): int(one["rank"]) for one in said["special_tokens"]}
        words = {
            base64.b64decode(one["token_bytes"], validate=True): int(one["rank"]) + first
            for one in said["vocab"]
            if one["rank"] < count
        }
        length = sum(map(len, words))
        if length > LONGEST:
            message = f"its tokens have {length} bytes, at most {LONGEST} are read"
            raise ValueError(message)
        if (longest := max(map(len, words), default=0)) > LONGEST_TOKEN:
            message = f"a token has {longest} bytes, at most {LONGEST_TOKEN} are read"
            raise ValueError(message)
        letters = _letters()
        shown = {word: "".join(letters[byte] for byte in word) for word in words}
        vocabulary = special | {shown[word]: rank for word, rank in words.items()}
        merges = [(shown[left], shown[right]) for left, right in _merges(words)]
        self._tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        cut = pre_tokenizers.Split(Regex(WORDS), "isolated")
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, level])
        self._tokenizer.add_special_tokens(
            [AddedToken(word, normalized=False, special=True) for word in special]
        )
        self.words = max(vocabulary.values()) + 1

    def __call__(self, text: str) -> list[int]:
        whole = text.encode("utf-8", "ignore").decode()  # without halves of surrogate pairs
        ids: list[int] = self._tokenizer.encode(whole, add_special_tokens=False).ids
        return ids


def _special(one: Mapping[str, Any]) -> str:
    if "token_bytes" in one:
        return base64.b64decode(one["token_bytes"]).decode("utf-8", "replace")
    return str(one["token_str"])


def _merges(words: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """All pairs that make a token, in the order in which they are merged."""
    for word in sorted(words, key=words.__getitem__):
        cuts = ((word[:i], word[i:]) for i in range(1, len(word)))
        pairs = [(left, right) for left, right in cuts if left in words and right in words]
        yield from sorted(pairs, key=lambda pair: (words[pair[0]], words[pair[1]]))


def tekken(part: Weights, *, rows: int) -> Tekken:
    """The tokenizer in a file whose table has so many rows.

    Raises:
        BadModelFile: there is none, or none that can be read, or one for another table.
    """
    if KEY not in part:
        raise part.bad(problem=f"it carries no tokenizer '{KEY}', as files of Mistral 3 do")
    return carried_tokenizer(part, KEY, Tekken, NONE, rows=rows)
