"""Writes the end of a job, retrying until the database accepts it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.exc import DBAPIError

from api.errors import known, message_body, unexpected
from api.jobs.answers import bare_answer
from storage.database import DatabaseAwayError
from storage.jobs.records import JobRecord, JobRecords
from storage.patience import PAUSES_S as AWAY_S
from storage.patience import patiently

LOG = logging.getLogger(__name__)
PAUSES_S = (0.2, 1.0, 3.0, 5.0)  # between tries, while the database may be away


async def write_end(
    jobs: JobRecords,
    ended: JobRecord,
    within_s: float,
    *,
    keep_request: bool = False,
    pauses_s: Sequence[float] = PAUSES_S,
) -> JobRecord | None:
    """Write how a job ended; returns the record as written, None where the job has been lost.

    One try may take `within_s`; a database that is away is waited for, unless there are no pauses.
    What cannot be written, or charged, or put into the outbox, becomes a failed end with the same
    outputs. Where that cannot be charged or put there either, the end is written alone, and
    `JobRecords.catch_up` adds the rest later.

    Raises:
        Exception: the database did not answer. The job stays as it is, for the next attempt.
    """

    async def written(record: JobRecord, *, alone: bool = False) -> JobRecord | None:
        async with asyncio.timeout(within_s):
            done = await jobs.end(record, keep_request=keep_request, alone=alone)
        return record if done else None

    async def tried() -> JobRecord | None:
        problem: Exception | None = None
        for pause_s in (*pauses_s, 0.0):
            try:
                return await written(ended)
            except DatabaseAwayError:
                raise
            except (DBAPIError, OSError) as error:
                LOG.exception("job %d: its end could not be written; retrying", ended.id)
                problem = error
                await asyncio.sleep(pause_s)
            except Exception as error:  # noqa: BLE001 - it is told as the job's own error
                problem = error
                break
        assert problem is not None
        failed = failed_end(ended, problem)
        try:
            return await written(failed)
        except DatabaseAwayError:
            raise
        except Exception:
            LOG.exception("job %d: writing its end without its charge or webhook", ended.id)
            return await written(failed, alone=True)

    return await patiently(tried, AWAY_S if pauses_s else ())


def failed_end(ended: JobRecord, error: BaseException) -> JobRecord:
    """The same end, failed by `error`; of the answer only the outputs are left."""
    try:
        body = message_body(known(error))
    except Exception as fault:  # noqa: BLE001 - an error that cannot even be shown
        body = message_body(unexpected(fault))
    outputs = (ended.answer or {}).get("outputs", ())
    return replace(ended, status="failed", answer=bare_answer(outputs), error=body)
