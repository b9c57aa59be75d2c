"""Hangs up on senders that go on after they were answered.

A refusal goes out when the beginning of a body has been read. uvicorn then reads the rest and
throws it away, however long it is. A client that sends first and reads afterwards only sees the
answer when somebody reads: so a part is read before the connection is closed.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from api.slow_senders import AsgiApp, Message, Receive, Send

MOST_BYTES = 16 * 2**20  # read of a body after its answer
MOST_S = 2.0
CLOSE = (b"connection", b"close")


class UnreadBodies:
    """ASGI middleware for Serve's proxy: closes a connection whose request was not read whole."""

    def __init__(self, app: AsgiApp, *, most_s: float = MOST_S) -> None:
        self._app = app
        self._most_s = most_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(dict(scope["headers"])):
            await self._app(scope, receive, send)
            return
        body = _Incoming(receive)
        held: Message | None = None  # the answer's end, with which uvicorn closes the connection
        closing = False

        async def send_before_the_end(message: Message) -> None:
            nonlocal held, closing
            if message["type"] == "http.response.start" and not body.ended:
                closing = True
                headers = [pair for pair in message.get("headers", ()) if pair[0] != CLOSE[0]]
                message = {**message, "headers": [*headers, CLOSE]}
            if closing and message["type"] == "http.response.body" and not message.get("more_body"):
                held = {"type": "http.response.body", "body": b"", "more_body": False}
                message = {**message, "more_body": True}
            await send(message)

        await self._app(scope, body.receive, send_before_the_end)
        if held is not None:
            await body.drain(self._most_s)
            await send(held)


class _Incoming:
    """A request's body as it comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.ended = not message.get("more_body", False)
        return message

    async def drain(self, most_s: float) -> None:
        """Read on until it ends, or enough was read."""
        read_bytes = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not self.ended and read_bytes < MOST_BYTES:
                    read_bytes += len((await self.receive()).get("body", b""))


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
