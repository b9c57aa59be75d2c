"""Drops what this replica caches for jobs that were deleted on another one."""

import asyncio
import logging
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from api.jobs.runner import Runner
from storage.jobs.records import JobRecords

LOG = logging.getLogger(__name__)
AT_ONCE = 500  # jobs looked for in one query


async def forget_deleted(runner: Runner, jobs: JobRecords, every_s: float) -> None:
    """Look whose results are kept, and drop those of jobs that are gone; until it is cancelled."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await drop_leftovers(runner, jobs)
        except (SQLAlchemyError, OSError):
            LOG.exception("deleted jobs could not be listed; retrying")


async def drop_leftovers(runner: Runner, jobs: JobRecords) -> None:
    """Drop what is kept of jobs that are gone."""
    kept: Sequence[int] = sorted(runner.jobs_kept())
    for k in range(0, len(kept), AT_ONCE):
        some = kept[k : k + AT_ONCE]
        if gone := set(some) - (await jobs.states(some)).keys():
            runner.forget(gone)
