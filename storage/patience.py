"""Waiting for a store that is away for a while, with work that would be lost without it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from storage.database import DatabaseAwayError
from storage.files import FileStoreAwayError

T = TypeVar("T")
LOG = logging.getLogger(__name__)
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)  # between tries: about a minute


async def patiently(work: Callable[[], Awaitable[T]], pauses_s: Sequence[float] = PAUSES_S) -> T:
    """What `work` gives; done again as long as the database or the file store does not answer.

    So it must be of a kind that may be done twice.

    Raises:
        DatabaseAwayError, FileStoreAwayError: it did not answer the last time either.
    """
    for pause_s in pauses_s:
        try:
            return await work()
        except (DatabaseAwayError, FileStoreAwayError) as error:
            LOG.warning("trying again in %g s: %s", pause_s, error)
            await asyncio.sleep(pause_s)
    return await work()
