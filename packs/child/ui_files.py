"""The files that a node left: those that its `ui` result names, and all in its output folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packs.child.calls import Folders

MOST_FILES = 4096
MOST_BYTES = 2**30


def files_of(folders: Folders, ui: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each file once, and it is gone afterwards: `name` within its folder, `kind`, `content`."""
    left = [MOST_FILES, MOST_BYTES]
    for kind, path in (*_named(folders, ui), *_in(folders.output)):
        if not path.is_file() or path.is_symlink():
            continue
        folder = folders.output if kind == "output" else folders.temp
        left = [left[0] - 1, left[1] - path.stat().st_size]
        if min(left) < 0:
            break
        content = path.read_bytes()
        path.unlink()
        name = path.relative_to(folder.resolve()).as_posix()
        yield {"name": name, "kind": kind, "content": content}


def _named(folders: Folders, ui: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for entries in ui.values():
        for entry in entries if isinstance(entries, list | tuple) else ():
            if not isinstance(entry, Mapping) or "filename" not in entry:
                continue
            kind = str(entry.get("type", "output"))
            folder = {"output": folders.output, "temp": folders.temp}.get(kind)
            if folder is None:
                continue
            name = Path(str(entry.get("subfolder") or ""), str(entry["filename"]))
            path = (folder / name).resolve()
            if path.is_relative_to(folder.resolve()):
                yield kind, path


def _in(folder: Path) -> Iterator[tuple[str, Path]]:
    yield from (("output", path) for path in sorted(folder.resolve().rglob("*")))
