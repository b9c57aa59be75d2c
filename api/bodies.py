"""Reads request bodies up to a size limit."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.body_room import VALUE_BYTES, place_of
from api.errors import BodyError, BodyTooLargeError, FormError, MediaTypeError
from api.heavy_work import HeavyWork
from api.json_reading import QUICK_BYTES, BodyLimits, key_in_head, most_values, read_json_text
from graph.shown import json_kind

HEAD_BYTES = 64 * 1024  # read of a request while nobody knows whose it is
SMALL_BYTES = 4 * 1024  # of a body that is parsed for anybody
JSON_TYPE = "application/json"
FORM_TYPE = "multipart/form-data"
UTF8_FORM = f"{FORM_TYPE} in UTF-8"
CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1"})


class JsonBody:
    """The JSON object in a request's body, read once.

    Before it is known whose request it is no more than the beginning is read: `head`. With
    `any_type` the Content-Type counts for nothing, as in ComfyUI: many scripts send none, or a
    form's.
    """

    def __init__(
        self, request: Request, heavy: HeavyWork, limits: BodyLimits, *, any_type: bool = False
    ) -> None:
        self._request = request
        self._heavy = heavy
        self._limits = limits
        self._any_type = any_type

    async def head(self) -> Mapping[str, Any]:
        """The object, if the body is small; else the key, if that is at its beginning.

        Raises:
            MediaTypeError, BodyError: 415, 400.
        """
        self._check_type()
        body = _body_of(self._request)
        beginning = await body.head(HEAD_BYTES)
        if body.complete and len(beginning) <= SMALL_BYTES:
            return await self._value(beginning)
        key = key_in_head(beginning[:HEAD_BYTES])
        return {} if key is None else {"key": key}

    async def __call__(self, owner: str = "") -> dict[str, Any]:
        """The object; a large one is read in `owner`'s turn.

        Raises:
            MediaTypeError, BodyTooLargeError, BodyError: 415, 413, 400.
        """
        self._check_type()
        raw = await read_bytes(self._request, self._limits.most_bytes, owner)
        return await self._value(raw, owner)

    async def large(self, owner: str, least_bytes: int) -> bytes | None:
        """The body as it is where it is so large that another process is to read it, or None.

        Raises:
            MediaTypeError, BodyTooLargeError: 415, 413.
        """
        self._check_type()
        raw = await read_bytes(self._request, self._limits.most_bytes, owner)
        return raw if len(raw) >= least_bytes else None

    def _check_type(self) -> None:
        kind = "" if self._any_type else media_type(self._request)
        if kind and kind != JSON_TYPE and not kind.endswith("+json"):
            raise MediaTypeError(JSON_TYPE, kind)

    async def _value(self, raw: bytes, owner: str = "") -> dict[str, Any]:
        state = self._request.state
        if not hasattr(state, "json_body"):
            if len(raw) > self._limits.most_bytes:
                raise BodyTooLargeError(self._limits.most_bytes)
            place_of(self._request).take(VALUE_BYTES * most_values(raw))
            work = self._heavy.for_request(owner, small=len(raw) <= QUICK_BYTES)
            state.json_body = await work.run(_object, raw, self._limits)
        return cast(dict[str, Any], state.json_body)


class KeyBody(JsonBody):
    """The body of a request that needs none but may hold a key: what is no JSON is empty."""

    async def head(self) -> Mapping[str, Any]:
        """As JsonBody."""
        return await super().head() if media_type(self._request) == JSON_TYPE else {}

    async def _value(self, raw: bytes, owner: str = "") -> dict[str, Any]:
        return await super()._value(raw, owner) if raw.strip() else {}


def _object(raw: bytes, limits: BodyLimits) -> dict[str, Any]:
    try:
        body = read_json_text(raw, limits)
    except (ValueError, RecursionError) as error:
        raise BodyError(str(error)) from error
    if not isinstance(body, dict):
        raise BodyError(json_kind(body))
    return body


async def read_value(request: Request, limit_bytes: int, owner: str) -> Any:
    """The JSON value in the body, of any type; whatever Content-Type the request has.

    Raises:
        BodyTooLargeError, BodyError: 413, 400.
        OwnersBodiesError, BodiesFullError: 429, 503.
    """
    raw = await read_bytes(request, limit_bytes, owner)
    place_of(request).take(VALUE_BYTES * most_values(raw))
    try:
        limits = BodyLimits().of_plain_bodies()
        if len(raw) <= QUICK_BYTES:
            return read_json_text(raw, limits)
        return await asyncio.to_thread(read_json_text, raw, limits)
    except (ValueError, RecursionError) as error:
        raise BodyError(str(error)) from error


async def read_bytes(request: Request, limit_bytes: int, owner: str = "") -> bytes:
    """The body as it is, which takes up `owner`'s share of the memory for bodies.

    Raises:
        BodyTooLargeError: 413.
        OwnersBodiesError, BodiesFullError: 429, 503.
    """
    _check_length(request, limit_bytes)
    place_of(request).belongs_to(owner)
    return await _body_of(request).whole(limit_bytes)


class _Body:
    """A request's body as far as it has come."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._place = place_of(request)
        self._parts: list[bytes] = []
        self._length = 0
        self.complete = False

    async def head(self, most: int) -> bytes:
        """Its beginning: no more is asked for once `most` bytes have come."""
        while not self.complete and self._length < most:
            await self._next()
        return b"".join(self._parts)

    async def whole(self, limit_bytes: int) -> bytes:
        """All of it. Raises: BodyTooLargeError."""
        while not self.complete:
            await self._next()
            if self._length > limit_bytes:
                raise BodyTooLargeError(limit_bytes)
        whole = b"".join(self._parts)
        self._parts = [whole]
        return whole

    async def _next(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        self._place.take(len(part))
        self._parts.append(part)
        self._length += len(part)
        self.complete = not message.get("more_body", False)


def _body_of(request: Request) -> _Body:
    """The one of a request, whoever asks."""
    state = request.state
    if not hasattr(state, "body_read"):
        state.body_read = _Body(request)
    return cast(_Body, state.body_read)


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


def _limited(request: Request, limit_bytes: int) -> Request:
    """The same request, whose body ends in an error when it goes over the limit."""
    _check_length(request, limit_bytes)
    received_bytes = 0

    async def receive() -> Message:
        nonlocal received_bytes
        message = await request.receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > limit_bytes:
            raise BodyTooLargeError(limit_bytes)
        return message

    return Request(request.scope, receive)


def _check_length(request: Request, limit_bytes: int) -> None:
    """Raises: BodyTooLargeError for a body that says that it is over the limit."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit_bytes:
        raise BodyTooLargeError(limit_bytes)
