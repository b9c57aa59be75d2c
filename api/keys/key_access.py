"""Lets requests in by their API key."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import Request

from api.keys.access import Caller, ReadBody, Scope
from api.keys.rates import Rates
from graph.errors import ServiceError
from storage.keys import Keys

BEARER = "bearer "


@dataclass(eq=False)
class NoKeyError(ServiceError):
    """A request without a key."""

    status = 401
    code = "missing_key"
    template = "This needs an API key: `key` in the JSON body, Authorization: Bearer, or X-API-Key."


@dataclass(eq=False)
class MissingScopeError(ServiceError):
    """A valid key that was not made for this."""

    status = 403
    code = "missing_scope"
    template = "This key does not have the scope {needed!r}, only: {granted}."
    needed: str
    granted: str


class KeyAccess:
    """A key names the owner and what may be done. A header counts before the query and body."""

    def __init__(self, keys: Keys, rates: Rates, *, reading_rate: str) -> None:
        """`reading_rate` bounds what a key of any rate of its own may read."""
        self._keys = keys
        self._rates = rates
        self._reading_rate = reading_rate

    async def caller(self, request: Request, scope: Scope, body: ReadBody) -> Caller:
        """Who asks for something of `scope`.

        Raises:
            NoKeyError, InvalidKeyError: 401.
            MissingScopeError, RateLimitError: 403, 429.
        """
        record = await self._keys.holder(await self._key(request, body))
        if scope not in record.scopes:
            raise MissingScopeError(scope, ", ".join(record.scopes))
        reading = scope in {"read", "metrics"}
        if rate := self._reading_rate if reading else record.rate:
            await self._rates.count(record.id, "read" if reading else "change", rate)
        return Caller(record.owner, record.id)

    async def _key(self, request: Request, body: ReadBody) -> str:
        for outside in _outside_the_body(request):
            return outside
        inside = (await body()).get("key")
        if not isinstance(inside, str) or not inside:
            raise NoKeyError
        return inside


def _outside_the_body(request: Request) -> Iterator[str]:
    """The keys that headers and query hold; empty ones are none."""
    authorization = request.headers.get("authorization", "")
    if authorization.lower().startswith(BEARER):
        yield authorization[len(BEARER) :].strip()
    yield from filter(None, (request.headers.get(name) for name in ("key", "x-api-key")))
    yield from filter(None, (request.query_params.get("key"),))
