"""A bounded queue of events for one reader, who may be slow."""

import asyncio

from api.jobs.events import Happened


class EventQueue:
    """Up to `most` events, of whose previews only the newest of each job waits.

    Belongs to one event loop. `lost`: more came than there is room for, and the oldest are gone.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.lost = False
        self._most = most
        self._most_bytes = most_bytes
        self._nbytes = 0
        self._next = 0
        self._waiting: dict[int, Happened] = {}
        self._previews: dict[int, int] = {}  # job -> where its newest preview waits
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, happened: Happened) -> None:
        if happened.preview is not None:
            self._drop_preview(self._previews.get(happened.job.id, -1))
            self._previews[happened.job.id] = self._next
        self._waiting[self._next] = happened
        self._nbytes += happened.nbytes
        self._next += 1
        while len(self._waiting) > self._most or self._nbytes > self._most_bytes:
            self._nbytes -= self._waiting.pop(next(iter(self._waiting))).nbytes
            self.lost = True
        self._filled.set()

    async def take(self) -> list[Happened]:
        """All that waits, once something does, or once `wake` was called."""
        await self._filled.wait()
        return self.take_now()

    def take_now(self) -> list[Happened]:
        taken = list(self._waiting.values())
        self._waiting.clear()
        self._previews.clear()
        self._nbytes = 0
        self._filled.clear()
        return taken

    def wake(self) -> None:
        """Let the reader go on, whatever there is."""
        self._filled.set()

    def _drop_preview(self, place: int) -> None:
        older = self._waiting.get(place)
        if older is not None:
            self._waiting[place] = older.without_preview()
            self._nbytes -= len(older.preview or b"")
