"""Stops running jobs before they cost more than their key's budget allows."""

import asyncio
import logging
import time

from graph.errors import ServiceError
from storage.database import Database
from storage.jobs.charges import BudgetSpentError, reserve_more
from storage.jobs.job_charges import JobCharges
from storage.jobs.records import JobRecord

LOG = logging.getLogger(__name__)
DAY_S = 86_400.0
PAUSE_S = 1.0  # after the database has failed
AHEAD_S = 10.0  # seconds of running that are reserved at a time, after the estimated ones


class Allowance:
    """The reservation of one job that runs. It grows as the job takes more than was estimated."""

    def __init__(self, database: Database, charges: JobCharges, record: JobRecord) -> None:
        self._database = database
        self._prices = charges.prices
        self._job_id = record.id
        self._began_s = record.started_s or time.time()
        self._covered = charges.quote(record.estimate_s, record.expected_outputs)
        self._outputs = 0
        self._growing = asyncio.Lock()

    @property
    def priced(self) -> bool:
        """Whether jobs cost anything."""
        return not self._prices.free

    async def cover(self, outputs: int) -> None:
        """Reserve more where so many outputs, and the time until now, cost more than is reserved.

        Raises:
            BudgetSpentError: the key's budget has not that much left.
        """
        await self._grow(outputs, time.time() - self._began_s)
        self._outputs = max(self._outputs, outputs)

    async def keep_up(self) -> ServiceError:
        """Reserve ever more time as the job runs on; returns what stops it: the budget's end."""
        while True:
            await asyncio.sleep(self._seconds_left())
            try:
                await self._grow(self._outputs, time.time() - self._began_s + AHEAD_S)
            except BudgetSpentError as error:
                return error
            except Exception:
                LOG.exception("job %d: its reservation could not be raised; retrying", self._job_id)
                await asyncio.sleep(PAUSE_S)

    def _seconds_left(self) -> float:
        """How long the job may run on within its reservation."""
        per_second = self._prices.of(outputs=0, seconds=1.0)
        if per_second == 0:
            return DAY_S
        left = self._covered - self._prices.of(outputs=self._outputs, seconds=0.0)
        return max(0.0, left / per_second - (time.time() - self._began_s))

    async def _grow(self, outputs: int, seconds: float) -> None:
        async with self._growing:
            needed = self._prices.of(outputs=outputs, seconds=seconds)
            if needed > self._covered:
                async with self._database.writing() as connection:
                    await reserve_more(connection, self._job_id, needed)
                self._covered = needed
