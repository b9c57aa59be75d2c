"""The events that this replica has: of the jobs it runs, and of others' jobs that it follows."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from api.jobs.event_log import EventLog
from api.jobs.events import Happened, JobAddress

MOST_JOBS = 500  # of other replicas
MOST_BYTES = 64 * 2**20  # of their events


class Listener(Protocol):
    """Hears the events of an owner's jobs. What is not `live` happened before it listened."""

    def __call__(self, happened: Happened, *, live: bool) -> None: ...


class Link(Protocol):
    """The way to the events of other replicas."""

    def send(self, happened: Happened) -> None:
        """Something happened here."""

    async def follow(self, owner: str) -> None:
        """Have the board take the owner's events; returns once it has those that were kept."""

    def leave(self, owner: str) -> None:
        """Nobody here follows the owner any more."""


class EventBoard:
    """Where events are read and listened to. Belongs to one event loop.

    `kept` bounds the events of one job. Without a `link` there are no other replicas.
    """

    def __init__(self, kept: int) -> None:
        self.link: Link | None = None
        self._kept = kept
        self._own: WeakValueDictionary[int, EventLog] = WeakValueDictionary()
        self._others: dict[int, EventLog] = {}  # those that had no event for longest come first
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self._followed: Counter[str] = Counter()

    def open(self, job: JobAddress, last_id: int) -> EventLog:
        """The log of a job that runs here. It is read here for as long as somebody holds it."""
        log = self._own[job.id] = EventLog(job, self._kept, last_id, self.announce)
        return log

    def announce(self, happened: Happened) -> None:
        """Tell all who listen of something that happened here."""
        self._hear(happened, live=True)
        if self.link:
            self.link.send(happened)

    def take(self, happened: Happened, *, live: bool = True) -> None:
        """Take an event of another replica, once."""
        job = happened.job
        if not self._followed[job.owner]:
            return
        log = self._others.pop(job.id, None) or EventLog(job, self._kept)
        self._others[job.id] = log
        if log.put(happened):
            self._hear(happened, live=live)
            self._make_room()

    def log_of_other(self, job: JobAddress) -> EventLog:
        """The events of a job that runs elsewhere, as they come while its owner is followed."""
        return self._others.setdefault(job.id, EventLog(job, self._kept))

    def own_events(self) -> list[Happened]:
        """All that is kept of jobs that ran here."""
        return [happened for log in list(self._own.values()) for happened in log.events]

    @asynccontextmanager
    async def following(self, owner: str, listener: Listener | None = None) -> AsyncIterator[None]:
        """Within, the board has the events of the owner's jobs, wherever they run.

        `listener` hears first what was kept, and then what happens.
        """
        self._followed[owner] += 1
        if listener:
            for happened in self._kept_of(owner):
                listener(happened, live=False)
            self._listeners[owner].append(listener)
        try:
            if self.link:
                await self.link.follow(owner)
            yield
        finally:
            if listener:
                self._listeners[owner].remove(listener)
            self._followed[owner] -= 1
            if not self._followed[owner]:
                self._leave(owner)

    def _kept_of(self, owner: str) -> list[Happened]:
        logs = (*self._own.values(), *self._others.values())
        return [it for log in logs if log.job.owner == owner for it in log.events]

    def _hear(self, happened: Happened, *, live: bool) -> None:
        for listener in tuple(self._listeners.get(happened.job.owner, ())):
            listener(happened, live=live)

    def _leave(self, owner: str) -> None:
        del self._followed[owner]
        self._listeners.pop(owner, None)
        for log in [log for log in self._others.values() if log.job.owner == owner]:
            del self._others[log.job.id]
        if self.link:
            self.link.leave(owner)

    def _make_room(self) -> None:
        nbytes = sum(log.nbytes for log in self._others.values())
        while self._others and (len(self._others) > MOST_JOBS or nbytes > MOST_BYTES):
            oldest = next(iter(self._others))
            nbytes -= self._others.pop(oldest).nbytes
