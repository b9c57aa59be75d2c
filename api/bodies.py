"""Request bodies, read up to a limit."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.types import Message

from api.errors import BodyError, BodyTooLargeError, FormError, MediaTypeError

INLINE_BYTES = 256 * 1024  # a larger body is parsed in a thread
JSON_TYPE = "application/json"
MOST_NESTED = 200  # levels of arrays and objects, twice what a workflow may have
FORM_TYPE = "multipart/form-data"
UTF8_FORM = f"{FORM_TYPE} in UTF-8"
CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1"})


async def read_json(request: Request, limit_bytes: int) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        MediaTypeError, BodyTooLargeError, BodyError: 415, 413, 400.
    """
    kind = media_type(request)
    if kind and kind != JSON_TYPE and not kind.endswith("+json"):
        raise MediaTypeError(JSON_TYPE, kind)
    raw = await _limited(request, limit_bytes).body()
    try:
        big = len(raw) > INLINE_BYTES
        body = await asyncio.to_thread(_parsed, raw) if big else _parsed(raw)
    except (ValueError, RecursionError) as error:
        raise BodyError(str(error)) from error
    if not isinstance(body, dict):
        raise BodyError(type(body).__name__)
    return body


async def read_value(request: Request, limit_bytes: int) -> Any:
    """The JSON value in the body, of any type; whatever Content-Type the request has.

    Raises:
        BodyTooLargeError, BodyError: 413, 400.
    """
    raw = await read_bytes(request, limit_bytes)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BodyError(str(error)) from error


async def read_bytes(request: Request, limit_bytes: int) -> bytes:
    """The body as it is.

    Raises:
        BodyTooLargeError: 413.
    """
    return await _limited(request, limit_bytes).body()


class JsonBody:
    """The JSON object in a request's body, read when it is first asked for, and once."""

    def __init__(self, request: Request, limit_bytes: int) -> None:
        self._request = request
        self._limit_bytes = limit_bytes

    async def __call__(self) -> dict[str, Any]:
        """As read_json."""
        state = self._request.state
        if not hasattr(state, "json_body"):
            state.json_body = await read_json(self._request, self._limit_bytes)
        return cast(dict[str, Any], state.json_body)


class KeyBody(JsonBody):
    """The body of a request that needs none but may hold a key: what is no JSON is empty."""

    async def __call__(self) -> dict[str, Any]:
        return await super().__call__() if media_type(self._request) == JSON_TYPE else {}


@asynccontextmanager
async def read_form(request: Request, limit_bytes: int) -> AsyncIterator[FormData]:
    """The fields and files of a multipart body, while the context is open.

    Raises:
        MediaTypeError, BodyTooLargeError, HTTPException: 415, 413, 400.
    """
    kind = media_type(request)
    if kind != FORM_TYPE:
        raise MediaTypeError(FORM_TYPE, kind)
    _, options = parse_options_header(request.headers["content-type"])
    charset = options.get(b"charset", b"").decode("latin-1").lower()
    if charset not in CHARSETS:  # Python has codecs that are none, and that raise anything
        raise MediaTypeError(UTF8_FORM, charset[:80])
    try:
        form = await _limited(request, limit_bytes).form(max_files=8, max_fields=64)
    except (FormParserError, ValueError, LookupError) as error:
        raise FormError(str(error)[:200]) from error
    try:
        yield form
    finally:
        await form.close()


def text_field(form: Mapping[str, Any], name: str) -> str | None:
    """A form field that is no file."""
    value = form.get(name)
    return value if isinstance(value, str) else None


def media_type(request: Request) -> str:
    """The body's Content-Type in small letters, without its parameters; "" where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _parsed(raw: bytes) -> Any:
    """The JSON in a body, which is nested no deeper than what reads it may recurse."""
    body = json.loads(raw)
    level = [body]
    for _ in range(MOST_NESTED):
        within = [one.values() if isinstance(one, dict) else one for one in level]
        level = [value for values in within for value in values if isinstance(value, dict | list)]
        if not level:
            return body
    raise ValueError(f"it is nested more than {MOST_NESTED} levels deep")  # noqa: TRY003


def _limited(request: Request, limit_bytes: int) -> Request:
    """The same request, whose body ends in an error when it goes over the limit."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit_bytes:
        raise BodyTooLargeError(limit_bytes)
    received_bytes = 0

    async def receive() -> Message:
        nonlocal received_bytes
        message = await request.receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > limit_bytes:
            raise BodyTooLargeError(limit_bytes)
        return message

    return Request(request.scope, receive)
