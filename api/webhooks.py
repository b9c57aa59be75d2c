"""Telling a caller's URL that a job has ended: best effort, a few tries."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from graph.errors import ServiceError
from storage.fetch import Fetcher

LOG = logging.getLogger(__name__)
PAUSES_S = (1.0, 5.0, 25.0)  # before the second try, the third ...


async def deliver(
    fetcher: Fetcher, url: str, body: Mapping[str, Any], pauses_s: Sequence[float] = PAUSES_S
) -> bool:
    """POST `body`; whether the receiver took it (2xx)."""
    for pause_s in (*pauses_s, None):
        try:
            status = await fetcher.post_json(url, body)
        except ServiceError as error:
            LOG.warning("webhook for job %s: %s", body.get("id"), error)
        else:
            if 200 <= status < 300:
                return True
            LOG.warning("webhook for job %s: answered %d", body.get("id"), status)
        if pause_s is not None:
            await asyncio.sleep(pause_s)
    return False
