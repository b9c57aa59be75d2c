"""Aborts requests whose bodies arrive too slowly."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from graph.errors import ServiceError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class BodyPace:
    """How slowly a body may come: this long in any case, and longer for each byte that came.

    At the least rate an upload of 100 MiB may take almost two hours; one that stands still ends
    after `first_s`.
    """

    first_s: float = 30.0
    least_bytes_per_s: float = 16 * 1024

    def allowed_s(self, received_bytes: int) -> float:
        """Seconds from the beginning within which more of the body has to come."""
        return self.first_s + received_bytes / self.least_bytes_per_s


@dataclass(eq=False)
class TooSlowError(ServiceError):
    """A body that came too slowly; the rest of it is not waited for."""

    status = 408
    code = "body_too_slow"
    template = "The request body came too slowly: {received_bytes} bytes in {waited_s:.0f} s."
    received_bytes: int
    waited_s: float


class SlowSenders:
    """ASGI middleware: who waits for more of a body gets TooSlowError when it is too slow."""

    def __init__(self, app: AsgiApp, pace: BodyPace) -> None:
        self._app = app
        self._pace = pace

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, received_bytes, complete = time.monotonic(), 0, False

        async def timely_receive() -> Message:
            nonlocal received_bytes, complete
            if complete:  # what comes now is that the client hung up, whenever it does
                return await receive()
            left_s = began + self._pace.allowed_s(received_bytes) - time.monotonic()
            try:
                async with asyncio.timeout(left_s):
                    message = await receive()
            except TimeoutError:
                raise TooSlowError(received_bytes, time.monotonic() - began) from None
            received_bytes += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, timely_receive, send)
