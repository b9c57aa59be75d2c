"""One client's WebSocket: its outgoing queue, and the features it declared."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from api.comfyui.messages import Message, Outgoing, Preview

TOO_SLOW, REPLACED = 1013, 4001  # codes that a socket is closed with


@dataclass(frozen=True)
class SocketLimits:
    """How many sockets there may be, and what may wait for one that reads slowly."""

    most: int = 384  # of one router: each is one of its ongoing requests
    most_of_owner: int = 256
    waiting: int = 2000  # messages
    waiting_bytes: int = 32 * 2**20
    send_s: float = 20.0  # how long one message may take


class ClientSocket:
    """Sends in order; of previews only the newest of each job waits. Belongs to one event loop."""

    def __init__(self, socket: WebSocket, client_id: str, limits: SocketLimits) -> None:
        self.client_id = client_id
        self.metadata = False  # whether it reads previews with metadata
        self.status_news = 0  # which change of the queue it was told of last
        self._socket = socket
        self._limits = limits
        self._waiting: dict[int, str | bytes] = {}
        self._previews: dict[int, int] = {}  # job -> where its preview waits
        self._next = 0
        self._nbytes = 0
        self._filled = asyncio.Event()
        self._close_code: int | None = None

    def put(self, outgoing: Outgoing) -> None:
        """Have a message sent; one socket that is much too slow is closed instead."""
        if isinstance(outgoing, Preview):
            if not (self.metadata or outgoing.asked):
                return
            self._drop(self._previews.get(outgoing.job, -1))
            self._previews[outgoing.job] = self._next
        frame = outgoing.frame(metadata=self.metadata)
        self._waiting[self._next] = frame
        self._next += 1
        self._nbytes += len(frame)
        limits = self._limits
        if len(self._waiting) > limits.waiting or self._nbytes > limits.waiting_bytes:
            self.close(TOO_SLOW)
        self._filled.set()

    def close(self, code: int) -> None:
        """Have it closed, and nothing more sent."""
        self._close_code = self._close_code or code
        self._waiting.clear()
        self._filled.set()

    async def serve(self, features: Mapping[str, Any]) -> None:
        """Until the client goes, or is closed; `features` is what its own are answered with."""
        reading = asyncio.create_task(self._read(features))
        sending = asyncio.create_task(self._send())
        try:
            await asyncio.wait([reading, sending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, sending):
                task.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)
        if self._socket.application_state is WebSocketState.CONNECTED and self._close_code:
            async with asyncio.timeout(self._limits.send_s):
                await self._socket.close(self._close_code)

    async def _read(self, features: Mapping[str, Any]) -> None:
        """A client's first message may say what it can; the rest is read and ignored."""
        first = True
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            declared = _declared(received.get("text")) if first else None
            first = False
            if declared is not None:
                self.metadata = declared.get("supports_preview_metadata") is True
                self.put(Message("feature_flags", features))

    async def _send(self) -> None:
        while self._close_code is None:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                frame = self._waiting.pop(next(iter(self._waiting)))
                self._nbytes -= len(frame)
                try:
                    async with asyncio.timeout(self._limits.send_s):
                        await self._write(frame)
                except (TimeoutError, WebSocketDisconnect, RuntimeError):
                    return

    async def _write(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            await self._socket.send_text(frame)
        else:
            await self._socket.send_bytes(frame)

    def _drop(self, place: int) -> None:
        older = self._waiting.pop(place, None)
        if older is not None:
            self._nbytes -= len(older)


def _declared(text: str | None) -> Mapping[str, Any] | None:
    """The features in a client's message; None in any other."""
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("type") != "feature_flags":
        return None
    data = message.get("data")
    return data if isinstance(data, dict) else {}
