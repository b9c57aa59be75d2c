"""CLIP's tokenizer, from its merges in clip_merges.txt.gz (see NOTICE).

Splits text as the CLIPTokenizer of transformers 5 does, which is what a new ComfyUI runs on: one
pipeline of the tokenizers library, the same for English as the older Python tokenizer, and not for
CJK, zero-width characters and special tokens in capitals.
"""

import gzip
from itertools import chain
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

START = 49406
END = 49407
SPECIAL = {"<|startoftext|>": START, "<|endoftext|>": END}
MERGES_FILE = Path(__file__).with_name("clip_merges.txt.gz")
MERGES = 49152 - 256 - 2  # how many of the file's merges CLIP was trained with

WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


class ClipTokenizer:
    """Text to token ids, without start, end and padding. Safe to share between threads.

    Making one takes a third of a second.
    """

    def __init__(self, file: Path = MERGES_FILE) -> None:
        lines = gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
        merges = [(left, right) for left, right in map(str.split, lines[1 : MERGES + 1])]
        letters = _byte_letters()
        words = chain(letters, (c + "</w>" for c in letters), map("".join, merges), SPECIAL)
        self._tokenizer = Tokenizer(
            BPE(
                {word: i for i, word in enumerate(words)},
                merges,
                end_of_word_suffix="</w>",
                unk_token="<|endoftext|>",
            )
        )
        self._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self._tokenizer.add_special_tokens(
            [AddedToken("<|startoftext|>", normalized=True), AddedToken("<|endoftext|>")]
        )

    def __call__(self, text: str) -> list[int]:
        whole = text.encode("utf-8", "ignore").decode()  # without halves of surrogate pairs
        ids: list[int] = self._tokenizer.encode(whole, add_special_tokens=False).ids
        return ids


def _byte_letters() -> list[str]:
    """GPT-2's letters for the bytes, in the order of their token ids."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]
