"""T5's tokenizer: from a file in the models folder, or from a package that carries one."""

import json
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers, pre_tokenizers

from diffusion.text.tokenizer_files import TokenizerFile

T5_FILE = TokenizerFile(
    encoder="T5",
    source="google/t5-v1_1-xxl, or of tokenizer_2 of black-forest-labs/FLUX.1-schnell",
    folder="text_encoders/t5_tokenizer",
    in_package=("conf", "tokenizers", "flux", "tokenizer_2"),
)


class T5Tokenizer:
    """Text to token ids, without the end token and padding. Safe to share between threads.

    Of the file its vocabulary, its table of characters and its added tokens count; words are split
    as the T5Tokenizer of transformers 5 splits them, whatever the file says.
    """

    def __init__(self, file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        table = _character_table(json.loads(file.read_text("utf-8")).get("normalizer"))
        self._tokenizer.normalizer = normalizers.Precompiled(table) if table else None
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Metaspace(prepend_scheme="always", split=True),
            ]
        )

    def __call__(self, text: str) -> list[int]:
        whole = text.encode("utf-8", "ignore").decode()  # without halves of surrogate pairs
        ids: list[int] = self._tokenizer.encode(whole, add_special_tokens=False).ids
        return ids


def _character_table(normalizer: Mapping[str, Any] | None) -> bytes | None:
    """SentencePiece's table of characters that are read as others, where a normalizer has one."""
    several = (normalizer or {}).get("normalizers", [normalizer])
    tables = (one.get("precompiled_charsmap") for one in several if one)
    return next((b64decode(table) for table in tables if table), None)
