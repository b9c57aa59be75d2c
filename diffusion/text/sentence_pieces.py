"""SentencePiece tokenizers, which text encoders' files may carry as `spiece_model`.

A file's own goes before any that is installed, as its tokens are what its table has rows for.
"""

from collections.abc import Callable

import torch

from diffusion.text.prompt import Tokenizer
from diffusion.text.tokenizer_files import TokenizerFile
from diffusion.weights import Weights

KEY = "spiece_model"
LARGEST_BYTES = 2**25  # the largest that is known has 2**22
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
    size = part.entries[KEY].size
    if size > LARGEST_BYTES:
        problem = f"its tokenizer '{KEY}' has {size} bytes, at most {LARGEST_BYTES} are read"
        raise part.bad(problem=problem)
    try:
        pieces = SentencePieces(part[KEY].contiguous().view(torch.uint8).numpy().tobytes())
    except RuntimeError as error:
        raise part.bad(problem=f"its tokenizer '{KEY}' cannot be read") from error
    if pieces.words > rows:
        problem = f"its tokenizer '{KEY}' knows {pieces.words} tokens, its table {rows}"
        raise part.bad(problem=problem)
    return pieces
