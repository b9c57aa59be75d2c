"""Safe paths from names that callers choose."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from graph.errors import ServiceError
from graph.file_prefix import name_problem

OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(eq=False)
class UnsafePathError(ServiceError):
    """A file name that leads elsewhere than into its folder."""

    status = 400
    code = "unsafe_path"
    template = "{name!r} is not a file name that can be used here: {problem}."
    name: str
    problem: str


def relative_name(name: str) -> str:
    """`name` in normal form, "sub/folder/file".

    Raises:
        UnsafePathError: it is empty, absolute, climbs out, or holds what no file name should.
    """
    if problem := name_problem(name):
        raise UnsafePathError(name[:80], problem)
    return os.path.normpath(name)


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`; links may not lead out of it either.

    Raises:
        UnsafePathError: the path is not inside.
    """
    path = folder / relative_name(name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UnsafePathError(name[:80], "it leads out of its folder")
    return path


def checked_owner(owner: str) -> str:
    """The owner: an id that the service gave out, never free text.

    Raises:
        UnsafePathError: it is something else.
    """
    if not OWNER.fullmatch(owner):
        raise UnsafePathError(owner[:80], "it is not an owner's id")
    return owner


def owner_prefix(kind: str, owner: str) -> str:
    """The start of the keys of one owner's files, "outputs/<owner>/"."""
    return f"{kind}/{checked_owner(owner)}/"


def owner_folder(root: Path, owner: str) -> Path:
    """The folder of one owner's files."""
    return root / checked_owner(owner)
