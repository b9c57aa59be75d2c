"""CLIP's tokenizer, from the vocabulary that open_clip ships, without the network.

Splits text as transformers' Python CLIPTokenizer does where ftfy is not installed, which is what
ComfyUI runs on, down to its handling of control characters, CJK and letter case.
"""

import gzip
import unicodedata
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import regex  # type: ignore[import-untyped]
from tokenizers.models import BPE

START = 49406
END = 49407
SPECIAL = {"<|startoftext|>": START, "<|endoftext|>": END}
VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"
MERGES = 49152 - 256 - 2  # how many of the file's merges CLIP was trained with

WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)
SPECIAL_EXACT = regex.compile(r"(<\|startoftext\|>|<\|endoftext\|>)")
CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def vocabulary_path() -> Path:
    """The file with CLIP's merges inside the installed open_clip, which is not imported."""
    spec = find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name="open_clip")
    return Path(spec.origin).parent / VOCABULARY_FILE


class ClipTokenizer:
    """Text to token ids, without start, end and padding. Safe to share between threads.

    Making one takes a third of a second.
    """

    def __init__(self, vocabulary: Path | None = None) -> None:
        path = vocabulary or vocabulary_path()
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
        merges = [(left, right) for left, right in map(str.split, lines[1 : MERGES + 1])]
        self._bytes = _printable_bytes()
        letters = list(self._bytes.values())
        words = chain(letters, (c + "</w>" for c in letters), map("".join, merges), SPECIAL)
        ids = {word: i for i, word in enumerate(words)}
        self._bpe = BPE(ids, merges, end_of_word_suffix="</w>")

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in SPECIAL_EXACT.split(text):
            words = [part] if part in SPECIAL else WORDS.findall(_normalized(part))
            for word in words:
                ids.extend(self._word(word))
        return ids

    def _word(self, word: str) -> list[int]:
        if word in SPECIAL:
            return [SPECIAL[word]]
        letters = "".join(self._bytes[byte] for byte in word.encode())
        return [token.id for token in self._bpe.tokenize(letters)]


def _printable_bytes() -> dict[int, str]:
    """GPT-2's letter for every byte, in the order of their token ids."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(rest))]
    return dict(zip([*printable, *rest], letters, strict=True))


def _normalized(text: str) -> str:
    """Lower case, single spaces, CJK characters as words of their own, no control characters."""
    spaced = unicodedata.normalize("NFC", "".join(map(_cleaned, text)))
    return " ".join(" ".join(word.lower() for word in spaced.split()).split())


def _cleaned(character: str) -> str:
    if character in " \t\n\r" or (category := unicodedata.category(character)) == "Zs":
        return " "
    if character == "\ufffd" or category.startswith("C"):
        return ""
    code = ord(character)
    return f" {character} " if any(low <= code <= high for low, high in CJK) else character
