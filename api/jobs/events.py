"""Numbered job events, so that a reader can resume after a lost connection."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class JobEvent:
    """One event; ids rise."""

    id: int
    type: str
    data: Mapping[str, Any]


class EventLog:
    """The last `kept` events of one job, numbered on from `last_id`. Belongs to one event loop."""

    def __init__(self, kept: int, last_id: int = 0) -> None:
        self._events: deque[JobEvent] = deque(maxlen=kept)
        self._changed = asyncio.Event()
        self._closed = False
        self.last_id = last_id

    def add(self, type_: str, data: Mapping[str, Any]) -> None:
        """Number an event and wake who waits. Of previews only the newest is kept."""
        if "preview" in data:
            self._drop_previews()
        self.last_id += 1
        self._events.append(JobEvent(self.last_id, type_, data))
        self._wake()

    def close(self) -> None:
        """There will be no more."""
        self._closed = True
        self._wake()

    async def after(self, last_id: int, beat_s: float) -> AsyncIterator[JobEvent | None]:
        """The events after `last_id` as they come; None each time `beat_s` passed without one."""
        while True:
            changed, closed = self._changed, self._closed  # as of before the reading
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

    def _drop_previews(self) -> None:
        for k, event in enumerate(self._events):
            if "preview" in event.data:
                rest = {name: value for name, value in event.data.items() if name != "preview"}
                self._events[k] = replace(event, data=rest)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
