"""Whose turn it is: so many jobs run at once, so many more may wait."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from api.errors import ServiceFullError

RETRY_AFTER_S = 5


@dataclass(eq=False)
class Ticket:
    """A place in the queue, until `JobQueue.leave`."""

    owner: str
    priority: int
    turn: asyncio.Event = field(default_factory=asyncio.Event)  # set when the job may run


class JobQueue:
    """First come, first served between owners; within one owner, by priority first.

    An owner's places in line are where the owner's jobs arrived; which of them takes the next
    place is the owner's choice. Belongs to one event loop.
    """

    def __init__(self, *, running: int, queued: int) -> None:
        self.most_running = running
        self._most_queued = queued
        self._running: set[Ticket] = set()
        self._waiting: list[Ticket] = []  # by arrival

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def check(self) -> None:
        """Look whether there is a place.

        Raises:
            ServiceFullError: there is none.
        """
        free = self.most_running - self.running + self._most_queued - self.waiting
        if free <= 0:
            raise ServiceFullError(self.waiting, RETRY_AFTER_S)

    def enter(self, owner: str, priority: int) -> Ticket:
        """Take a place.

        Raises:
            ServiceFullError: there is none.
        """
        self.check()
        ticket = Ticket(owner, priority)
        self._waiting.append(ticket)
        self._advance()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the place back, whether the job's turn had come or not."""
        self._running.discard(ticket)
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        self._advance()

    def position(self, ticket: Ticket) -> int:
        """0 when its turn has come, 1 for the next, and so on."""
        return 0 if ticket.turn.is_set() else self._in_order().index(ticket) + 1

    def _advance(self) -> None:
        while self._waiting and self.running < self.most_running:
            ticket = self._in_order()[0]
            self._waiting.remove(ticket)
            self._running.add(ticket)
            ticket.turn.set()

    def _in_order(self) -> list[Ticket]:
        """The line: at each owner's places, the owner's jobs from the highest priority down."""
        theirs: dict[str, list[Ticket]] = defaultdict(list)
        for ticket in sorted(self._waiting, key=lambda one: -one.priority):  # equals: by arrival
            theirs[ticket.owner].append(ticket)
        lines = {owner: iter(tickets) for owner, tickets in theirs.items()}
        return [next(lines[place.owner]) for place in self._waiting]
