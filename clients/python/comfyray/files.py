"""Files on this side: workflows that are read, pictures that are sent, results that are kept."""

import io
import re
import struct
import uuid
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
KEYWORDS = ("workflow", "prompt")  # of the editor's format before the API's
NUMBERED = re.compile(r"(.*_)(\d{5,})(_?)")
UNSAFE = {"", ".", ".."}


def document(workflow: Mapping[str, Any] | str | Path) -> Any:
    """A workflow as it is sent: a mapping or JSON text as it is, a file by what is in it.

    Raises:
        FileNotFoundError: text that is neither JSON nor the path of a file.
        ValueError: a picture without a workflow in it.
    """
    if isinstance(workflow, Mapping):
        return workflow
    if isinstance(workflow, str) and workflow.lstrip()[:1] in {"{", "["}:
        return workflow
    path = Path(workflow)
    content = path.read_bytes()
    if not content.startswith(PNG):
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is neither JSON nor a PNG with a workflow in it") from error
    texts = dict(png_texts(content))
    for keyword in KEYWORDS:
        if keyword in texts:
            return texts[keyword]
    raise ValueError(f"{path} is a picture without a workflow in it")


def png_texts(content: bytes) -> Iterator[tuple[str, str]]:
    """The text chunks of a PNG: keyword and text."""
    at = len(PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        keyword, _, rest = data.partition(b"\0")
        if kind == b"tEXt":
            yield keyword.decode("latin-1"), rest.decode("latin-1")
        elif kind == b"zTXt":
            yield keyword.decode("latin-1"), zlib.decompress(rest[1:]).decode("latin-1")
        elif kind == b"iTXt":
            text = rest[2:].split(b"\0", 2)[2]
            unfolded = zlib.decompress(text) if rest[:1] == b"\1" else text
            yield keyword.decode("latin-1"), unfolded.decode("utf-8", "replace")
        at += 12 + length


def is_file(value: Any) -> bool:
    """Whether an input is a file to send: a path, bytes, an open file or a PIL picture."""
    return isinstance(value, Path | bytes) or hasattr(value, "read") or _is_picture(value)


def sendable(file: Any, name: str | None = None) -> tuple[str, bytes]:
    """The name and content of a file to send; `file` is a path or what `is_file` says."""
    if isinstance(file, bytes):
        return name or f"{uuid.uuid4().hex}.png", file
    if _is_picture(file):
        buffer = io.BytesIO()
        file.save(buffer, "PNG")
        return name or f"{uuid.uuid4().hex}.png", buffer.getvalue()
    if hasattr(file, "read"):
        own = str(getattr(file, "name", "") or "")
        return name or Path(own).name or f"{uuid.uuid4().hex}.png", file.read()
    path = Path(file)
    return name or path.name, path.read_bytes()


def _is_picture(value: Any) -> bool:
    return hasattr(value, "save") and hasattr(value, "mode") and hasattr(value, "size")


def create(folder: str | Path, filename: str, subfolder: str = "") -> BinaryIO:
    """A new file for an output, open for writing; nothing is ever written over.

    A name that is taken counts on as ComfyUI's do: x_00001_.png, x_00002_.png. The sub-folder of
    the output is kept under `folder`; a server's names lead nowhere else.
    """
    parts = [part for part in PurePosixPath(subfolder).parts if part not in UNSAFE and part != "/"]
    target = Path(folder, *parts)
    target.mkdir(parents=True, exist_ok=True)
    for name in _names(Path(filename.replace("\\", "/")).name or "output"):
        try:
            return (target / name).open("xb")
        except FileExistsError:
            continue
    raise AssertionError


def _names(name: str) -> Iterator[str]:
    yield name
    path = Path(name)
    numbered = NUMBERED.fullmatch(path.stem)
    number = 1
    while True:
        number += 1
        if numbered:
            start, digits, end = numbered.groups()
            counted = str(int(digits) + number - 1).zfill(len(digits))
            yield f"{start}{counted}{end}{path.suffix}"
        else:
            yield f"{path.stem} ({number}){path.suffix}"
