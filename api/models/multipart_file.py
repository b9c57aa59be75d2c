"""Streams one large file of a multipart body without storing it.

Starlette's own reader writes a file to the temporary folder first, which a model may not fit.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from api.bodies import media_type
from api.errors import FormError, MediaTypeError, one_field

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM = "multipart/form-data"
MOST_FIELD_BYTES = 64 * 1024  # of everything but the file


class MultipartFile:
    """The file part called `field`. `fields` has the others; all of them once the file is read."""

    def __init__(self, request: Request, field: str = "file") -> None:
        self._field = field
        self._stream = request.stream()
        self.filename = ""
        self.fields: dict[str, str] = {}
        try:
            self._parser = MultipartParser(_boundary(request), _callbacks(self))
        except FormParserError as error:
            raise FormError(str(error)[:200]) from error
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._part = ""  # the name of the part that is being read
        self._in_file = False
        self._field_bytes = 0
        self._data: list[bytes] = []

    async def start(self) -> None:
        """Read up to the file's first bytes.

        Raises:
            FormError, InvalidFieldsError: 400, 422 where there is none.
        """
        async for chunk in self._stream:
            self._feed(chunk)
            if self.filename:
                return
        raise one_field(self._field, "a file with a name", None)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's content.

        Raises:
            FormError: the form is not whole.
        """
        while True:
            for piece in self._data:
                yield piece
            self._data.clear()
            try:
                self._feed(await anext(self._stream))
            except (StopAsyncIteration, ClientDisconnect):
                break
        if self._in_file:
            raise FormError(problem="it ends in the middle of the file")

    def _feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise FormError(str(error)[:200]) from error

    def part_begins(self) -> None:
        self._headers.clear()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._bound(end - start)

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound(end - start)

    def header_ends(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._part = options.get(b"name", b"").decode(errors="replace")
        self._in_file = self._part == self._field and not self.filename
        if self._in_file:
            self.filename = options.get(b"filename", b"").decode(errors="replace")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._data.append(data[start:end])
            return
        self._bound(end - start)
        so_far = self.fields.get(self._part, "")
        self.fields[self._part] = so_far + data[start:end].decode(errors="replace")

    def part_ends(self) -> None:
        self._in_file = False

    def _bound(self, more: int) -> None:
        self._field_bytes += more
        if self._field_bytes > MOST_FIELD_BYTES:
            raise FormError(problem=f"its fields are over {MOST_FIELD_BYTES} bytes")


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != FORM.encode():
        raise MediaTypeError(FORM, media_type(request))
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise FormError(problem="it names no boundary")
    return boundary


def _callbacks(file: MultipartFile) -> "MultipartCallbacks":
    return {
        "on_part_begin": file.part_begins,
        "on_header_field": file.header_name,
        "on_header_value": file.header_value,
        "on_header_end": file.header_ends,
        "on_headers_finished": file.headers_end,
        "on_part_data": file.part_data,
        "on_part_end": file.part_ends,
    }
