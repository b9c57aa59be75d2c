"""Connects a replica to the event hub: publishes its events, receives those it follows."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any

from api.jobs.event_board import EventBoard
from api.jobs.event_hub import Delivery, Hub
from api.jobs.event_queue import EventQueue
from api.jobs.events import Happened

LOG = logging.getLogger(__name__)
PENDING, PENDING_BYTES = 20_000, 64 * 2**20  # while the hub is away; then all is sent anew
AT_ONCE = 500  # events in one message
PAUSE_S = 0.2  # before the hub is called again
COMPLETE_S = 2.0  # how long a follower waits for what is kept
Calls = Coroutine[Any, Any, None]


class HubLink:
    """Belongs to one event loop. What it cannot do now it does when the hub is back."""

    def __init__(self, hub: Hub, board: EventBoard, replica: str) -> None:
        self._hub = hub
        self._board = board
        self._replica = replica
        self._pending = EventQueue(PENDING, PENDING_BYTES)
        self._complete: dict[str, asyncio.Event] = {}  # by owner that somebody here follows
        self._calls: set[asyncio.Task[None]] = set()
        self._name = ""  # of the hub that has heard of what is kept here
        self.send = self._pending.put

    async def follow(self, owner: str) -> None:
        """Have the board take the owner's events; returns once it has those that were kept.

        Where the hub does not answer it returns as well, and the events come later.
        """
        complete = self._complete.get(owner)
        if complete is None:
            complete = self._complete[owner] = asyncio.Event()
            self._call(self._hub.follow(self._replica, owner))
        with suppress(TimeoutError):
            async with asyncio.timeout(COMPLETE_S):
                await complete.wait()

    def leave(self, owner: str) -> None:
        """Nobody here follows the owner any more."""
        del self._complete[owner]
        self._call(self._hub.leave(self._replica, owner))

    async def publish(self) -> None:
        """Bring the hub what happens here; runs until it is cancelled."""
        while True:
            happened = await self._pending.take()
            try:
                for k in range(0, len(happened), AT_ONCE):
                    await self._hub.publish(self._replica, happened[k : k + AT_ONCE])
            except Exception:
                LOG.exception("the event hub is away; trying on")
                await asyncio.sleep(PAUSE_S)
                self._send_all(happened)

    async def listen(self) -> None:
        """Take what the hub brings; runs until it is cancelled."""
        while True:
            try:
                async for delivery in self._hub.subscribe(self._replica, tuple(self._complete)):
                    self._take(delivery)
            except Exception:
                LOG.exception("the event hub is away; trying on")
            await asyncio.sleep(PAUSE_S)

    def _take(self, delivery: Delivery) -> None:
        if delivery.hub != self._name:
            self._name = delivery.hub
            self._send_all()
        for happened in delivery.happened:
            known = self._complete.get(happened.job.owner)
            self._board.take(happened, live=known is not None and known.is_set())
        for owner in delivery.complete:
            if owner in self._complete:
                self._complete[owner].set()

    def _send_all(self, unsent: Sequence[Happened] = ()) -> None:
        """A hub that was away may be another one, which knows nothing."""
        everything = [*self._board.own_events(), *unsent, *self._pending.take_now()]
        by_number = {(it.job.id, it.id): it for it in everything}
        for _, happened in sorted(by_number.items(), key=itemgetter(0)):
            self._pending.put(happened)

    def _call(self, call: Calls) -> None:
        """Without waiting for it. Where it fails, the next subscription says it all."""
        task = asyncio.get_running_loop().create_task(self._quietly(call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _quietly(self, call: Calls) -> None:
        try:
            await call
        except Exception:
            LOG.exception("the event hub is away; trying on")
