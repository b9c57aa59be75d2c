"""SentencePiece tokenizers, which text encoders' files may carry as `spiece_model`.

A file's own goes before any that is installed, as its tokens are what its table has rows for.
"""

from collections.abc import Callable

from diffusion.text.carried_tokenizers import carried_tokenizer
from diffusion.text.prompt import Tokenizer
from diffusion.text.tokenizer_files import TokenizerFile
from diffusion.weights import Weights

KEY = "spiece_model"
UMT5_FILE = TokenizerFile(
    encoder="UMT5",
    source="google/umt5-xxl",
    folder="text_encoders/umt5_tokenizer",
    in_package=("conf", "tokenizers", "wan", "umt5-xxl"),
    file="spiece.model",
)


class SentencePieces:
    """Text to token ids, without the end token and padding. Safe to share between threads."""

    def __init__(self, model: bytes) -> None:
        """Raises RuntimeError where the bytes are no model."""
        from sentencepiece import SentencePieceProcessor  # noqa: PLC0415 - for few encoders

        self._processor = SentencePieceProcessor(model_proto=model)

    @property
    def words(self) -> int:
        """How many tokens it knows."""
        return int(self._processor.get_piece_size())

    def __call__(self, text: str) -> list[int]:
        whole = text.encode("utf-8", "ignore").decode()  # without halves of surrogate pairs
        ids: list[int] = self._processor.encode(whole)
        return ids


def sentence_pieces(part: Weights, otherwise: Callable[[], Tokenizer], *, rows: int) -> Tokenizer:
    """The tokenizer that is in a file whose table has so many rows, or else the installed one.

    Raises:
        BadModelFile: what the file has is none, or one for another table.
    """
    if KEY not in part:
        return otherwise()
    return carried_tokenizer(part, KEY, SentencePieces, (RuntimeError,), rows=rows)
