"""Checks what a pack's node shows (`ui`) and the files it leaves, which are untrusted."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from packs.encoding import BadValueError
from packs.wire import Message

NUMBERED = re.compile(r"^(.*?)_?\d{5}_?$")
FILE = "$file"
MOST_CHARS, MOST_FILES = 2**18, 4096
KINDS = frozenset({"output", "temp"})


@dataclass(frozen=True)
class LeftFile:
    """A file that a node left: its name in its folder, what it is saved under, and its content."""

    name: str
    prefix: str
    extension: str
    content: bytes
    temporary: bool


def files_in(message: Message) -> list[LeftFile]:
    """The files that a node left.

    Raises:
        BadValueError, KeyError, TypeError, ValueError, IndexError: they are none.
    """
    found = []
    for said in (message.said.get("files") or ())[:MOST_FILES]:
        name, at = PurePosixPath(str(said["name"])), said["content"]["at"]
        if name.is_absolute() or ".." in name.parts:
            raise BadValueError(f"a file named {name}")
        numbered = NUMBERED.match(name.stem)
        stem = (numbered[1] if numbered else name.stem) or "file"
        prefix = str(name.with_name(stem))
        content = bytes(message.buffers[int(at)])
        is_temp = said["kind"] == "temp"
        found.append(LeftFile(name.as_posix(), prefix, name.suffix, content, is_temp))
    return found


def display_in(message: Message, files: Sequence[LeftFile]) -> dict[str, list[Any]]:
    """A node's `ui`: lists by name. Files that it left are `{"$file": k}`, by their place.

    What makes it longer than a quarter of a megabyte is left out.
    """
    said = message.said.get("ui")
    places = {(one.name, one.temporary): k for k, one in enumerate(files)}
    found: dict[str, list[Any]] = {}
    left = MOST_CHARS
    for name, values in said.items() if isinstance(said, Mapping) else ():
        if not isinstance(values, list):
            continue
        shown = [_shown(value, places) for value in values]
        try:
            left -= len(json.dumps(shown, allow_nan=False)) + len(name)
        except ValueError:  # NaN, which JSON has not
            continue
        if left >= 0:
            found[name] = shown
    return found


def _shown(value: Any, places: Mapping[tuple[str, bool], int]) -> Any:
    if not isinstance(value, Mapping):
        return value
    kept = {name: one for name, one in value.items() if name != FILE}
    if not isinstance(value.get("filename"), str) or value.get("type", "output") not in KINDS:
        return kept
    name = PurePosixPath(str(value.get("subfolder") or ""), value["filename"]).as_posix()
    place = places.get((name, value.get("type") == "temp"))
    return kept if place is None else {FILE: place}
