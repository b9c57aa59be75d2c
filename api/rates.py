"""How often a key may ask: sliding windows, in this process or in a Redis that routers share."""

import logging
import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from graph.errors import ServiceError

LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class RateLimitError(ServiceError):
    """More requests than the key may make. Nothing was accepted."""

    status = 429
    code = "rate_limit"
    template = (
        "This key may make {limit} requests of the kind {kind!r}; try again in {retry_after_s} s."
    )
    kind: str
    limit: str
    retry_after_s: int


def parse_rate(text: str) -> RateLimitItem:
    """The limit that "60/minute" or "10 per 5 second" says.

    Raises:
        ValueError: it says none.
    """
    return parse(text)


class Rates:
    """Counts requests. Without a Redis URL each router replica counts for itself."""

    def __init__(self, redis_url: str | None = None) -> None:
        self._storage: MemoryStorage | RedisStorage = MemoryStorage()
        if redis_url is not None:
            self._storage = RedisStorage(
                f"async+{redis_url}",
                wrap_exceptions=True,
                implementation="redispy",
                key_prefix="comfyray",
            )
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    async def count(self, key_id: str, kind: str, rate: str) -> None:
        """Count one request of a key.

        A Redis that does not answer lets requests pass: budgets and numbers of jobs still hold.

        Raises:
            RateLimitError: it was one too many.
        """
        item = parse_rate(rate)
        try:
            if await self._limiter.hit(item, key_id, kind):
                return
            reset_s = (await self._limiter.get_window_stats(item, key_id, kind)).reset_time
        except StorageError as error:
            LOG.warning("rates are not counted: %s", error.storage_error)
            return
        raise RateLimitError(kind, rate, max(1, math.ceil(reset_s - time.time())))
