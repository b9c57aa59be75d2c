"""Waits for jobs that may run on another replica."""

import asyncio
import logging
from collections import defaultdict

from storage.jobs.records import JobRecord, JobRecords

LOG = logging.getLogger(__name__)
State = tuple[str, int]  # status, epoch


class JobWatch:
    """Tells who waits that a job has moved: at once where this replica moved it, else by looking.

    Belongs to one event loop. It looks only while somebody waits, for all of them in one query.
    """

    def __init__(self, jobs: JobRecords, every_s: float) -> None:
        self._jobs = jobs
        self._every_s = every_s
        self._waiting: dict[int, dict[asyncio.Future[None], State]] = defaultdict(dict)
        self._looking: asyncio.Task[None] | None = None

    async def moved(self, record: JobRecord) -> None:
        """Until the job is no more in the state that the record has."""
        moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[record.id][moved] = (record.status, record.epoch)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        try:
            await moved
        finally:
            self._waiting[record.id].pop(moved, None)
            if not self._waiting[record.id]:
                del self._waiting[record.id]

    def tell(self, job_id: int) -> None:
        """This replica has moved the job."""
        for moved in self._waiting.get(job_id, {}):
            if not moved.done():
                moved.set_result(None)

    async def close(self) -> None:
        """Look no more."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        """While somebody waits."""
        while True:
            await asyncio.sleep(self._every_s)
            if not self._waiting:
                return
            try:
                states = await self._jobs.states(list(self._waiting))
            except Exception:  # who waits goes on waiting
                LOG.exception("job states could not be read; retrying")
                continue
            for job_id, waiting in list(self._waiting.items()):
                if any(state != states.get(job_id) for state in waiting.values()):
                    self.tell(job_id)
