"""Rate limits of keys: sliding windows, in this process or in a Redis that routers share."""

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from graph.errors import ServiceError

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

LOG = logging.getLogger(__name__)
REDIS_WITHIN_S = 1.0  # requests do not wait longer for it


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
        ValueError: it says none, or several, or nothing at all may be asked.
    """
    (item,) = parse_many(text)
    if item.amount < 1:
        raise ValueError(text)
    return item


class Rates:
    """Counts requests. Without a Redis URL each router replica counts for itself."""

    def __init__(self, redis_url: str | None = None) -> None:
        self._pool: ConnectionPool | None = None
        self._storage: MemoryStorage | RedisStorage = MemoryStorage()
        if redis_url is not None:
            self._pool = _pool(redis_url)
            options: dict[str, Any] = {"connection_pool": self._pool}
            self._storage = RedisStorage(
                f"async+{redis_url}",
                wrap_exceptions=True,
                implementation="redispy",
                key_prefix="comfyray",
                **options,
            )
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    async def close(self) -> None:
        """Leave Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

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
            LOG.warning("rate limits are off, their storage failed: %s", error.storage_error)
            return
        raise RateLimitError(kind, rate, max(1, math.ceil(reset_s - time.time())))


def _pool(redis_url: str) -> "ConnectionPool":
    """Connections that fail at once where Redis does not answer."""
    from redis.asyncio import ConnectionPool  # noqa: PLC0415 - six MiB that few need
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    return ConnectionPool.from_url(
        redis_url,
        socket_timeout=REDIS_WITHIN_S,
        socket_connect_timeout=REDIS_WITHIN_S,
        retry=Retry(NoBackoff(), 0),
    )
