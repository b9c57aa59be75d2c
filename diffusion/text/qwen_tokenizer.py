"""Qwen's tokenizer: Qwen3's extends Qwen2.5's by a few tokens."""

from pathlib import Path

from tokenizers import Tokenizer

from diffusion.text.tokenizer_files import TokenizerFile

QWEN_FILE = TokenizerFile(
    encoder="Qwen",
    source="Qwen/Qwen3-4B, or of tokenizer in Tongyi-MAI/Z-Image-Turbo",
    folder="text_encoders/qwen_tokenizer",
    in_package=("conf", "tokenizers", "z_image", "tokenizer"),
)
PAD = 151643  # <|endoftext|>


class QwenTokenizer:
    """Text to token ids. Safe to share between threads."""

    def __init__(self, file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))

    def __call__(self, text: str) -> list[int]:
        whole = text.encode("utf-8", "ignore").decode()  # without halves of surrogate pairs
        ids: list[int] = self._tokenizer.encode(whole, add_special_tokens=False).ids
        return ids
