"""Reads request bodies no faster than they are consumed.

Serve's proxy takes a body in as it comes, whatever its length, and hands it on to the router's
replica, which keeps it, whether or not anybody reads it (Ray 2.60, serve/_private/proxy.py,
`proxy_asgi_receive`; http_util.py, `ASGIReceiveProxy`). Nothing bounds that: so here both wait once
so much is waiting to be read, and the sender with them.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ray.serve._private import http_util, proxy, replica
from ray.serve._private.common import RequestMetadata
from starlette.middleware import Middleware

from deployments.unread_bodies import UnreadBodies

AHEAD_BYTES = 256 * 1024  # held by the proxy, and by the replica, for one request

Message = MutableMapping[str, Any]


class PacedQueue(http_util.MessageQueue):
    """What came of a request and the replica has yet to ask for. Belongs to one event loop."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ahead_bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    async def __call__(self, message: Message) -> None:
        """Add a message; returns once there is room for another one."""
        await super().__call__(message)
        self._ahead_bytes += _length(message)
        if self._ahead_bytes > AHEAD_BYTES:
            self._room.clear()
            await self._room.wait()

    def get_messages_nowait(self) -> list[Message]:
        """All of them."""
        self._ahead_bytes = 0
        self._room.set()
        return list(super().get_messages_nowait())


class PacedReceive(http_util.ASGIReceiveProxy):
    """A request's messages in the replica, asked for as they are read. Belongs to one loop."""

    def __init__(
        self,
        scope: Message,
        metadata: RequestMetadata,
        fetch: Callable[[RequestMetadata], Awaitable[bytes]],
    ) -> None:
        self._ahead_bytes = 0
        self._all_read = asyncio.Event()

        async def when_read(metadata: RequestMetadata) -> bytes:
            if self._ahead_bytes > AHEAD_BYTES:
                await self._all_read.wait()
            fetched = await fetch(metadata)
            self._ahead_bytes += len(fetched)
            self._all_read.clear()
            return fetched

        super().__init__(scope, metadata, when_read)

    async def __call__(self) -> Message:
        """The next message, once there is one."""
        message: Message = await super().__call__()
        if self.queue.empty():
            self._ahead_bytes = 0
            self._all_read.set()
        return message


def pace_proxy() -> list[Middleware]:
    """What Serve's proxy calls when it starts: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH.

    It asks for middlewares. They do not learn what the replica has read, so that the queue between
    the two is replaced.
    """
    setattr(proxy, "MessageQueue", PacedQueue)  # noqa: B010 - a class, to mypy
    return [Middleware(UnreadBodies)]


def pace_replica() -> None:
    """For the replica that this process is, before its first request."""
    setattr(replica, "ASGIReceiveProxy", PacedReceive)  # noqa: B010 - a class, to mypy


def _length(message: Message) -> int:
    """Of an HTTP or a WebSocket message, in bytes or characters."""
    return len(message.get("body") or message.get("bytes") or message.get("text") or b"")
