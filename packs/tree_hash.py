"""The hash of a folder: what an operator allows is this, and nothing that differs."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

SKIPPED = frozenset({".git", "__pycache__"})


class UnhashableError(Exception):
    """A folder that cannot be allowed: it says why."""


def tree_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of all files of a folder, or of one file.

    Left out are `.git` and `__pycache__`: the first is not imported, and neither is the second.

    Raises:
        UnhashableError: a link leads out of the folder.
    """
    total = hashlib.sha256()
    for name, path in sorted(_files(folder)):
        total.update(f"{name}\0{_hash(path)}\n".encode())
    return total.hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    if folder.is_file():
        yield folder.name, folder
        return
    root = folder.resolve()
    for place, below, names in os.walk(root):
        for name in (*below, *names):
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise UnhashableError(f"{path.relative_to(root)} is a link that leads elsewhere")
        below[:] = [name for name in below if name not in SKIPPED]
        for name in names:
            path = Path(place, name)
            if path.is_file():
                yield path.relative_to(root).as_posix(), path


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
