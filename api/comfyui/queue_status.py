"""Sends an owner's queue length to its sockets when it changes.

A change goes to the client of the job at once, in its order with the job's other messages. All
others are told together, and the less often the more they are: each message to each of hundreds of
sockets for each change would be most of what a router sends. What was told last is always true.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from api.comfyui.client_socket import ClientSocket
from api.comfyui.messages import Message

LOG = logging.getLogger(__name__)
MESSAGES_PER_S = 200  # to all of an owner's sockets together
Count = Callable[[str], Awaitable[int]]


class QueueStatus:
    """Tells one owner's `sockets`, by client id, how much is queued. Belongs to one event loop."""

    def __init__(self, owner: str, sockets: Mapping[str, ClientSocket], count: Count) -> None:
        self._owner = owner
        self._sockets = sockets
        self._count = count
        self._remaining = -1
        self._moves = 1  # rises whenever jobs may have been queued, or ended
        self._counted = 0  # how many of these are in what was counted
        self._counting = asyncio.Lock()
        self._news = 0  # rises with each thing to tell
        self._sent_at = 0.0
        self._telling: asyncio.Task[None] | None = None

    def moved(self) -> None:
        """Jobs may have been queued, or ended."""
        self._moves += 1

    async def greet(self, socket: ClientSocket) -> None:
        """Tell one that has just come."""
        self.moved()
        await self._recount()
        greeting = self._message()
        self._tell_one(socket, replace(greeting, data={**greeting.data, "sid": socket.client_id}))

    async def tell(self, client_id: str | None, *, always: bool) -> None:
        """Tell how much is queued, where it changed, or `always`: this client at once."""
        before = self._news
        await self._recount()
        if always and self._news == before:
            self._news += 1
        if self._news == before and not any(map(self._is_behind, self._sockets.values())):
            return
        if socket := self._sockets.get(client_id or ""):
            self._tell_one(socket, self._message())
        if self._telling is None and any(map(self._is_behind, self._sockets.values())):
            loop = asyncio.get_running_loop()
            self._telling = loop.create_task(self._tell_all(), context=contextvars.Context())

    def stop(self) -> None:
        """Tell no more."""
        if self._telling:
            self._telling.cancel()

    async def _tell_all(self) -> None:
        """Tell those who have not heard of the last change, when it is time to."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._sent_at + len(self._sockets) / MESSAGES_PER_S - loop.time())
        self._sent_at, self._telling = loop.time(), None
        message = self._message()
        for socket in self._sockets.values():
            if self._is_behind(socket):
                self._tell_one(socket, message)

    def _is_behind(self, socket: ClientSocket) -> bool:
        return socket.status_news < self._news

    def _tell_one(self, socket: ClientSocket, message: Message) -> None:
        socket.status_news = self._news
        socket.put(message)

    async def _recount(self) -> None:
        """Count, unless nothing moved since that was done."""
        async with self._counting:
            if self._counted == self._moves:
                return
            moves = self._moves
            before = self._remaining
            try:
                self._remaining = await self._count(self._owner)
            except Exception:
                LOG.exception("the queue cannot be counted; telling the last number")
            else:
                self._counted = moves
            self._news += self._remaining != before

    def _message(self) -> Message:
        remaining = {"exec_info": {"queue_remaining": max(0, self._remaining)}}
        return Message("status", {"status": remaining})
