"""Passes job events from the replicas that run jobs to those whose clients follow them."""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from api.jobs.event_log import EventLog
from api.jobs.event_queue import EventQueue
from api.jobs.events import Happened

KEPT = 2000  # events of one job
MOST_JOBS = 1000
MOST_BYTES = 128 * 2**20  # of all events
WAITING, WAITING_BYTES = 20_000, 64 * 2**20  # for one replica that is slow


@dataclass(frozen=True)
class Delivery:
    """Events in their order, and the owners of whom all that was kept has now been sent."""

    hub: str  # another hub begins with nothing
    happened: tuple[Happened, ...] = ()
    complete: tuple[str, ...] = ()


class Hub(Protocol):
    """The hub as replicas reach it."""

    async def publish(self, replica: str, happened: Sequence[Happened]) -> None:
        """Bring events, in their order; those that are there already change nothing."""

    def subscribe(self, replica: str, owners: Sequence[str]) -> AsyncIterator[Delivery]:
        """The events of these owners' jobs on other replicas: those that are kept, and on.

        The first delivery comes at once. It ends where the replica is too slow, or comes anew.
        """

    async def follow(self, replica: str, owner: str) -> None:
        """Have one more owner's events in the replica's subscription."""

    async def leave(self, replica: str, owner: str) -> None:
        """Have them no more."""


@dataclass(eq=False)
class _Subscription:
    owners: set[str]
    queue: EventQueue = field(default_factory=lambda: EventQueue(WAITING, WAITING_BYTES))
    complete: list[str] = field(default_factory=list)
    over: bool = False


class EventHub:
    """Keeps the events of jobs until they end, within bounds. Belongs to one event loop."""

    def __init__(self) -> None:
        self._name = secrets.token_hex(8)
        self._logs: dict[int, EventLog] = {}  # those that had no event for longest come first
        self._ran_at: dict[int, str] = {}  # job -> the replica that its newest event came from
        self._subscriptions: dict[str, _Subscription] = {}
        self._nbytes = 0

    async def publish(self, replica: str, happened: Sequence[Happened]) -> None:
        """Bring events, in their order; those that are there already change nothing."""
        for one in happened:
            if self._keep(one):
                self._ran_at[one.job.id] = replica
                for name, subscription in self._subscriptions.items():
                    if name != replica and one.job.owner in subscription.owners:
                        subscription.queue.put(one)
        self._make_room()

    async def subscribe(self, replica: str, owners: Sequence[str]) -> AsyncIterator[Delivery]:
        """See Hub."""
        mine = _Subscription(set())
        if earlier := self._subscriptions.pop(replica, None):
            _end(earlier)
        self._subscriptions[replica] = mine
        for owner in owners:
            await self.follow(replica, owner)
        try:
            yield Delivery(self._name)
            while not (mine.over or mine.queue.lost):
                happened = await mine.queue.take()
                complete, mine.complete = mine.complete, []
                if not mine.queue.lost:
                    yield Delivery(self._name, tuple(happened), tuple(complete))
        finally:
            if self._subscriptions.get(replica) is mine:
                del self._subscriptions[replica]

    async def follow(self, replica: str, owner: str) -> None:
        """Have one more owner's events in the replica's subscription: first those that are kept."""
        subscription = self._subscriptions.get(replica)
        if subscription is None:
            return  # it names its owners when it comes back
        if owner not in subscription.owners:
            subscription.owners.add(owner)
            lost = subscription.queue.lost
            for log in self._logs.values():
                if log.job.owner == owner and self._ran_at.get(log.job.id) != replica:
                    for happened in log.events:
                        subscription.queue.put(happened)
            subscription.queue.lost = lost  # of what is kept, what there is room for will do
        subscription.complete.append(owner)
        subscription.queue.wake()

    async def leave(self, replica: str, owner: str) -> None:
        """Have them no more."""
        if subscription := self._subscriptions.get(replica):
            subscription.owners.discard(owner)

    def _keep(self, happened: Happened) -> bool:
        log = self._logs.pop(happened.job.id, None) or EventLog(happened.job, KEPT)
        self._logs[happened.job.id] = log
        before = log.nbytes
        new = log.put(happened)
        if log.ended:  # its record tells the rest to who comes later
            log.drop_all_but_last()
        self._nbytes += log.nbytes - before
        return new

    def _make_room(self) -> None:
        while self._logs and (len(self._logs) > MOST_JOBS or self._nbytes > MOST_BYTES):
            job_id = next(iter(self._logs))
            self._nbytes -= self._logs.pop(job_id).nbytes
            self._ran_at.pop(job_id, None)


def _end(subscription: _Subscription) -> None:
    subscription.over = True
    subscription.queue.wake()
