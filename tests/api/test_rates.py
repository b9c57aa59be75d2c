"""Rates by a Redis that several routers share, and without it."""

import secrets
from collections.abc import AsyncIterator

import pytest

from api.keys.rates import RateLimitError, Rates

AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
async def routers(pytestconfig: pytest.Config) -> AsyncIterator[tuple[Rates, Rates]]:
    """What two routers count with."""
    url = pytestconfig.getoption("redis")
    if url is None:
        pytest.skip("needs --redis, which make test-services gives")
    both = Rates(url), Rates(url)
    yield both
    for rates in both:
        await rates.close()


async def test_routers_count_together_in_redis(routers: tuple[Rates, Rates]) -> None:
    one, other = routers
    key_id = secrets.token_hex(8)
    await one.count(key_id, "change", "2/hour")
    await other.count(key_id, "change", "2/hour")
    for rates in routers:
        with pytest.raises(RateLimitError) as refused:
            await rates.count(key_id, "change", "2/hour")
        assert 1 <= refused.value.retry_after_s <= 7200
    await one.count(key_id, "read", "2/hour")


async def test_while_redis_is_away_requests_pass(caplog: pytest.LogCaptureFixture) -> None:
    rates = Rates(AWAY)
    for _ in range(3):
        await rates.count("key", "change", "1/hour")
    await rates.close()
    assert "rate limits are off" in caplog.text
