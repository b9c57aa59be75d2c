"""A WebSocket client right at an ASGI application, without a network."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI


class AsgiSocket:
    """What one client sent and got. `reading` off is a client that does not read."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.came: list[dict[str, Any] | bytes] = []
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.code: int | None = None
        self._news = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        return await self.sent.get()

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "websocket.accept":
            self.opened.set()
            return
        if message["type"] == "websocket.close":
            self.code = message["code"]
            self.closed.set()
        else:
            await self.reading.wait()
            text = message.get("text")
            self.came.append(json.loads(text) if text is not None else message["bytes"])
        self._news.set()

    def say(self, text: str) -> None:
        self.sent.put_nowait({"type": "websocket.receive", "text": text})

    def declare(self) -> None:
        features = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        self.say(json.dumps(features))

    def kinds(self) -> list[str]:
        """The types of messages in their order; "binary" are frames."""
        return ["binary" if isinstance(one, bytes) else str(one["type"]) for one in self.came]

    def of(self, kind: str) -> list[dict[str, Any]]:
        messages = [one for one in self.came if not isinstance(one, bytes)]
        return [one["data"] for one in messages if one["type"] == kind]

    def frames(self) -> list[bytes]:
        return [one for one in self.came if isinstance(one, bytes)]

    async def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Until so many messages of a type came."""
        async with asyncio.timeout(30):
            while len(self.of(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return self.of(kind)

    async def until_done(self) -> None:
        """Until `executing` of no node."""
        async with asyncio.timeout(30):
            while not any(one["node"] is None for one in self.of("executing")):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def connected(
    app: FastAPI, url: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[AsgiSocket]:
    """A socket that was accepted, or closed instead."""
    parts = urlsplit(url)
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "root_path": "",
        "query_string": parts.query.encode(),
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"host": "here:8000", **(headers or {})}.items()
        ],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8000),
        "subprotocols": [],
        "state": {},
    }
    socket = AsgiSocket()
    socket.sent.put_nowait({"type": "websocket.connect"})
    serving = asyncio.create_task(app(scope, socket.receive, socket.send))
    waits = [asyncio.create_task(one.wait()) for one in (socket.opened, socket.closed)]
    try:
        async with asyncio.timeout(30):
            await asyncio.wait([*waits, serving], return_when=asyncio.FIRST_COMPLETED)
        yield socket
    finally:
        socket.sent.put_nowait({"type": "websocket.disconnect", "code": 1000})
        socket.reading.set()
        for wait in waits:
            wait.cancel()
        async with asyncio.timeout(30):
            await serving
