"""The interface to file storage: a folder (local_files.py) or a bucket (s3.py).

A key is a path of names that were checked, "outputs/<owner>/<job>/output/x.png". Everything here
blocks and may be called from any thread: async code calls it in one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from graph.errors import ServiceError

PIECE_BYTES = 2**20  # what a stream hands out at a time, at most


@dataclass(eq=False)
class MissingFileError(ServiceError):
    """A key that nothing is stored under."""

    status = 404
    code = "file_not_found"
    template = "There is no file {name!r}."
    name: str


@dataclass(eq=False)
class FileStoreError(ServiceError):
    """The place where files are kept does not do what it is asked."""

    status = 503
    code = "storage_unavailable"
    template = "Files cannot be stored or read now: the store says {problem!r}."
    problem: str


@dataclass(eq=False)
class FileStoreAwayError(FileStoreError):
    """A server that does not answer. It may come back."""


@dataclass(frozen=True)
class StoredFile:
    """A file that is there. `version` is another one after every change."""

    key: str
    size: int
    version: str


@dataclass(frozen=True)
class ListedFile:
    key: str
    modified_s: float
    size: int


class Files(Protocol):
    """Bytes by key. A reader finds all of a file or nothing, never a part of it.

    Every method may raise FileStoreError.
    """

    def put(self, key: str, content: bytes) -> None:
        """Store a file, in place of what was there."""

    def find(self, key: str) -> StoredFile | None: ...

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes `start` up to `stop` (or the end), in pieces; found before the first is read.

        Raises:
            MissingFileError: there is none.
        """

    def list(self, prefix: str) -> Iterator[ListedFile]:
        """All files whose keys begin with `prefix`, which ends in a slash, in any order."""

    def sweep(self, prefix: str, before_s: float) -> int:
        """Remove what was stored under a prefix before a time, and what never got whole.

        Returns how many files were removed.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files; those that are not there are none."""

    def link(self, key: str) -> str | None:
        """A URL at which the store itself gives the file for a while; None: it has no URLs."""

    def key_of(self, url: str) -> str | None:
        """The key in a URL that `link` may have given; None for any other URL."""


def read(files: Files, key: str) -> bytes:
    """A whole file.

    Raises:
        MissingFileError: there is none.
    """
    return b"".join(files.stream(key))
