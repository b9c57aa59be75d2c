"""Stored files as HTTP responses, whole or by range (RFC 9110, 13 and 14)."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi.responses import Response, StreamingResponse

from graph.errors import ServiceError
from storage.files import PIECE_BYTES, Files, StoredFile
from storage.media_types import disposition, media_type

ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(eq=False)
class RangeError(ServiceError):
    """A part of a file that lies behind its end."""

    status = 416
    code = "range_not_satisfiable"
    template = "The file has {size} bytes; {wanted!r} asks for none of them."
    wanted: str
    size: int


def headers(name: str) -> dict[str, str]:
    """How a browser is to take the file, whatever is in it."""
    return {
        "Content-Type": media_type(name),
        "Content-Disposition": disposition(name),
        "X-Content-Type-Options": "nosniff",
    }


async def file_response(
    files: Files, file: StoredFile, asked: Mapping[str, str], *, body: bool = True
) -> Response:
    """The file, or what of it the request's headers ask for; without `body` the headers alone.

    Raises:
        RangeError: no byte of it.
    """
    tag = f'"{file.version}"'
    sent = headers(file.key) | {"ETag": tag, "Accept-Ranges": "bytes"}
    if asked.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    part = _part(asked, tag, file.size)
    start, stop = part or (0, file.size)
    if part:
        sent["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    sent["Content-Length"] = str(stop - start)
    status = 206 if part else 200
    if not body:
        return Response(status_code=status, headers=sent)
    pieces = await asyncio.to_thread(files.stream, file.key, start, stop)
    if stop - start <= PIECE_BYTES:
        content = await asyncio.to_thread(b"".join, pieces)
        return Response(content, status_code=status, headers=sent)
    return StreamingResponse(pieces, status_code=status, headers=sent)


def _part(asked: Mapping[str, str], tag: str, size: int) -> tuple[int, int] | None:
    """Where the wanted part begins and ends; None is the whole file, as for what is no range."""
    wanted = asked.get("range", "")
    found = ONE_RANGE.fullmatch(wanted.strip())
    if not found or found[0] == "bytes=-" or asked.get("if-range", tag) != tag:
        return None
    first, last = found[1][:20], found[2][:20]
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if last and first and int(last) < int(first):
        return None
    if start >= size or stop <= start:
        raise RangeError(wanted[:80], size)
    return start, stop
