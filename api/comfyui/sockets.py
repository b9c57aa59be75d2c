"""The WebSockets of each owner's clients, and the events sent to them."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.comfyui.client_socket import REPLACED, ClientSocket, SocketLimits
from api.comfyui.messages import CountQueue, Outgoing, PromptMessages
from api.comfyui.queue_status import Count, QueueStatus
from api.jobs.event_board import EventBoard
from api.jobs.event_queue import EventQueue
from api.jobs.events import Begun, Ended, Happened, JobAddress
from api.jobs.service import Service
from graph.errors import ServiceError

LOG = logging.getLogger(__name__)
WAITING, WAITING_BYTES = 20_000, 64 * 2**20  # events of one owner
MOST_JOBS = 1000  # of one owner, whose end was never heard of


class TooManySocketsError(ServiceError):
    """As many sockets as there may be."""

    status = 429
    code = "too_many_sockets"
    template = "There are too many sockets; close some, or try again later."


class OwnerSockets:
    """All sockets of one owner, by client id, and what they are told, in one order."""

    def __init__(self, owner: str, count: Count) -> None:
        self.sockets: dict[str, ClientSocket] = {}
        self.users = 0  # sockets, and those that are about to be
        self.ready = asyncio.Event()  # once it is known what the owner's jobs do
        self._owner = owner
        self._status = QueueStatus(owner, self.sockets, count)
        self._prompts: dict[int, PromptMessages] = {}
        self._events = EventQueue(WAITING, WAITING_BYTES)
        self._telling: asyncio.Task[None] | None = None

    def start(self, board: EventBoard) -> None:
        """Begin to tell, apart from whatever request is being served."""
        loop = asyncio.get_running_loop()
        self._telling = loop.create_task(self._tell(board), context=contextvars.Context())

    def stop(self) -> None:
        """Tell no more."""
        self._status.stop()
        if self._telling:
            self._telling.cancel()

    def leave(self, socket: ClientSocket) -> None:
        """The socket is closed; one that took its place stays."""
        if self.sockets.get(socket.client_id) is socket:
            del self.sockets[socket.client_id]

    def hear(self, happened: Happened, *, live: bool) -> None:
        """An event of one of the owner's jobs; an old one is only remembered."""
        if live:
            self._events.put(happened)
        else:
            for _ in self._of(happened).reactions(happened):
                pass
            self._forget_ended(happened)

    async def _tell(self, board: EventBoard) -> None:
        """Tell the clients; runs until it is cancelled."""
        async with board.following(self._owner, self.hear):
            self.ready.set()
            while True:
                happened = await self._events.take()
                self._status.moved()
                for one in happened:
                    await self._tell_of(one)

    async def _tell_of(self, happened: Happened) -> None:
        try:
            for reaction in self._of(happened).reactions(happened):
                if isinstance(reaction, CountQueue):
                    await self._status.tell(happened.job.client_id, always=reaction.always)
                else:
                    self._send(happened.job, reaction)
        except Exception:  # the others are told
            LOG.exception("an event of job %d could not be told", happened.job.id)
        self._forget_ended(happened)

    async def greet(self, socket: ClientSocket) -> None:
        """The first message, and where the client's job is, if one runs; others come after."""
        await self._status.greet(socket)
        for prompt in self._prompts.values():
            if prompt.job.client_id == socket.client_id:
                for message in prompt.where():
                    socket.put(message)
        if earlier := self.sockets.get(socket.client_id):
            earlier.close(REPLACED)
        self.sockets[socket.client_id] = socket

    def _of(self, happened: Happened) -> PromptMessages:
        job = happened.job
        if job.id not in self._prompts or isinstance(happened.event, Begun):
            self._prompts[job.id] = PromptMessages(job)
            if len(self._prompts) > MOST_JOBS:
                del self._prompts[next(iter(self._prompts))]
        return self._prompts[job.id]

    def _forget_ended(self, happened: Happened) -> None:
        if isinstance(happened.event, Ended):
            self._prompts.pop(happened.job.id, None)

    def _send(self, job: JobAddress, message: Outgoing) -> None:
        if message.to_all:
            for socket in self.sockets.values():
                socket.put(message)
        elif job.client_id in self.sockets:
            self.sockets[job.client_id].put(message)


class Sockets:
    """Every socket of this router. Belongs to one event loop."""

    def __init__(self, service: Service, limits: SocketLimits) -> None:
        self.limits = limits
        self._service = service
        self._owners: dict[str, OwnerSockets] = {}

    def admit(self, owner: str) -> None:
        """Whether there is room for one more.

        Raises:
            TooManySocketsError: there is not.
        """
        known = self._owners.get(owner)
        total = sum(len(one.sockets) for one in self._owners.values())
        of_owner = len(known.sockets) if known else 0
        if total >= self.limits.most or of_owner >= self.limits.most_of_owner:
            raise TooManySocketsError

    @asynccontextmanager
    async def joined(self, owner: str, socket: ClientSocket) -> AsyncIterator[None]:
        """Within, the socket is told what happens; an older one of its name is closed."""
        mine = self._owners.get(owner)
        if mine is None:
            mine = self._owners[owner] = OwnerSockets(owner, self._service.stores.prompts.remaining)
            mine.start(self._service.board)
        mine.users += 1
        try:
            await mine.ready.wait()
            await mine.greet(socket)
            yield
        finally:
            mine.users -= 1
            mine.leave(socket)
            if not mine.users:
                del self._owners[owner]
                mine.stop()
