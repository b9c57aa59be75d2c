"""Which packs may run: those that an operator names with the hash of their files."""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packs.errors import PackRefusedError
from packs.tree_hash import UnhashableError, tree_hash

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")
SKIPPED = frozenset({"__pycache__"})
LEFT_OUT = (".git", "__pycache__")


@dataclass(frozen=True)
class FoundPack:
    """A pack of the packs folder, and whether it may run."""

    name: str
    hash: str = ""
    allowed: bool = False
    problem: str = ""


def check_folder(folder: Path, name: str, allowed_hash: str) -> None:
    """Nothing, where a pack is just what was allowed.

    Raises:
        PackRefusedError: it is not there, or has changed.
    """
    path = folder / name
    if not NAME.fullmatch(name) or not path.exists():
        raise PackRefusedError(name, f"there is no {name!r} in the packs folder")
    try:
        found = tree_hash(path)
    except (UnhashableError, OSError) as error:
        raise PackRefusedError(name, str(error)) from error
    if found != allowed_hash:
        problem = f"its files have the hash {found}, and {allowed_hash} is allowed"
        raise PackRefusedError(name, problem)


def copy_allowed(folder: Path, name: str, allowed_hash: str, to: Path) -> Path:
    """A copy of a pack in `to`, for one process: some packs write into their own folder.

    Raises:
        PackRefusedError: what was copied is not what is allowed.
    """
    path, copy = folder / name, to / "pack" / name
    if not NAME.fullmatch(name) or not path.exists():
        raise PackRefusedError(name, f"there is no {name!r} in the packs folder")
    try:
        copy.parent.mkdir(parents=True)
        if path.is_file():
            shutil.copyfile(path, copy)
        else:
            shutil.copytree(path, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    except (OSError, shutil.Error) as error:
        raise PackRefusedError(name, f"it cannot be copied: {error}") from error
    check_folder(copy.parent, name, allowed_hash)
    return copy


def found_packs(folder: Path, allowed: Mapping[str, str]) -> Iterator[FoundPack]:
    """Every pack of a folder, and those that are allowed and not there."""
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for name in dict.fromkeys((*there, *sorted(allowed))):
        path = folder / name
        is_pack = path.is_dir() or path.suffix == ".py"
        if name in there and (not is_pack or name in SKIPPED or name.startswith(".")):
            continue
        try:
            found = tree_hash(path) if path.exists() else ""
        except (UnhashableError, OSError) as error:
            yield FoundPack(name, problem=str(error))
            continue
        if name not in allowed:
            yield FoundPack(name, found, problem="not allowed")
            continue
        try:
            check_folder(folder, name, allowed[name])
        except PackRefusedError as refused:
            yield FoundPack(name, found, problem=refused.problem)
        else:
            yield FoundPack(name, found, allowed=True)
