"""The numbered events of one job, so that a reader can resume after a lost connection."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from api.jobs.events import Ended, Happened, JobAddress, JobEvent

BEFORE_ALL = -1  # 0 is a job's first place in line, 1 its beginning
MOST_BYTES = 8 * 2**20  # of one job's events, the pictures among them


class EventLog:
    """The last `kept` events of one job. Belongs to one event loop.

    Events that happen here are numbered on from `last_id`; those that come from another replica
    have their numbers, and one that was there already changes nothing. `added` hears of each.
    """

    def __init__(
        self,
        job: JobAddress,
        kept: int,
        last_id: int = BEFORE_ALL,
        added: Callable[[Happened], None] = lambda _: None,
    ) -> None:
        self.job = job
        self.last_id = last_id
        self.nbytes = 0
        self._kept = kept
        self._added = added
        self._events: deque[Happened] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def events(self) -> tuple[Happened, ...]:
        return tuple(self._events)

    @property
    def ended(self) -> bool:
        return bool(self._events) and isinstance(self._events[-1].event, Ended)

    def add(self, event: JobEvent) -> None:
        """Number an event and wake who waits."""
        self.put(Happened(self.job, self.last_id + 1, time.time(), event))

    def put(self, happened: Happened) -> bool:
        """Take an event that has its number; False where it is an old one."""
        if happened.id <= self.last_id:
            return False
        if happened.preview is not None:
            self._drop_previews()
        self.last_id = happened.id
        self._events.append(happened.kept)
        self.nbytes += happened.kept.nbytes
        while len(self._events) > self._kept or self._is_large():
            self.nbytes -= self._events.popleft().nbytes
        self.wake()
        self._added(happened)
        return True

    def drop_all_but_last(self) -> None:
        """Keep the newest event alone."""
        while len(self._events) > 1:
            self.nbytes -= self._events.popleft().nbytes

    def close(self) -> None:
        """There will be no more."""
        self._closed = True
        self.wake()

    async def after(
        self, last_id: int, beat_s: float, until: asyncio.Future[None] | None = None
    ) -> AsyncIterator[Happened | None]:
        """The events after `last_id` as they come; None each time `beat_s` passed without one.

        It ends with the log, or once `until` is done and the log was woken.
        """
        while True:
            changed = self._changed  # as of before the reading, and so is
            closed = self._closed or (until is not None and until.done())
            for event in [event for event in self._events if event.id > last_id]:
                last_id = event.id
                yield event
            if closed:
                return
            try:
                async with asyncio.timeout(beat_s):
                    await changed.wait()
            except TimeoutError:
                yield None

    def _is_large(self) -> bool:
        return self.nbytes > MOST_BYTES and len(self._events) > 1

    def _drop_previews(self) -> None:
        """Of previews only the newest is kept."""
        for k, event in enumerate(self._events):
            if event.preview is not None:
                self._events[k] = event.without_preview()
                self.nbytes -= len(event.preview)

    def wake(self) -> None:
        """Let readers look again."""
        self._changed.set()
        self._changed = asyncio.Event()
