"""Authenticates requests by their API key."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from starlette.requests import HTTPConnection

from api.keys.access import Caller, ReadBody, Scope
from api.keys.rates import RateLimitError, Rates
from api.keys.sessions import COOKIE, Sessions, cookie_counts
from graph.errors import ServiceError
from storage.keys import InvalidKeyError, KeyRecord, Keys

BEARER = "bearer "


@dataclass(eq=False)
class NoKeyError(ServiceError):
    """A request without a key."""

    status = 401
    code = "missing_key"
    template = (
        "This needs an API key: Authorization: Bearer, X-API-Key, or `key` in the JSON body "
        "(in its first 64 KiB where it is larger)."
    )


@dataclass(eq=False)
class MissingScopeError(ServiceError):
    """A valid key that was not made for this."""

    status = 403
    code = "missing_scope"
    template = "This key does not have the scope {needed!r}, only: {granted}."
    needed: str
    granted: str


@dataclass(eq=False)
class StrangersError(ServiceError):
    """Too many requests of one address without a valid key."""

    status = 429
    code = "rate_limit"
    template = (
        "Too many requests without a valid key came from your address; "
        "try again in {retry_after_s} s."
    )
    retry_after_s: int


class KeyAccess:
    """A key names the owner and what may be done. A header counts before the query and body."""

    def __init__(
        self,
        keys: Keys,
        rates: Rates,
        *,
        reading_rate: str,
        stranger_rate: str = "",
        sessions: Sessions | None = None,
    ) -> None:
        """`reading_rate` bounds what a key of any rate of its own may read.

        `stranger_rate` bounds how often an address may come without a valid key. Valid keys are
        let in from there all the same: many may share an address with whoever tries. Without
        `sessions` no browser can log in.
        """
        self._keys = keys
        self._stranger_rate = stranger_rate
        self._rates = rates
        self._reading_rate = reading_rate
        self._sessions = sessions

    async def caller(
        self, request: HTTPConnection, scope: Scope, body: ReadBody, *, session: bool = False
    ) -> Caller:
        """Who asks for something of `scope`.

        Raises:
            NoKeyError, InvalidKeyError: 401.
            MissingScopeError, RateLimitError: 403, 429.
            StrangersError: 429.
        """
        try:
            record = await self._record(request, body, session=session)
        except (NoKeyError, InvalidKeyError):
            await self._count_stranger(request)
            raise
        if scope not in record.scopes:
            raise MissingScopeError(scope, ", ".join(record.scopes))
        reading = scope in {"read", "metrics"}
        if rate := self._reading_rate if reading else record.rate:
            await self._rates.count(record.id, "read" if reading else "change", rate)
        return Caller(record.owner, record.id)

    async def session(self, request: HTTPConnection, key: str) -> str | None:
        """A token for the cookie of a browser that showed this key.

        Raises:
            InvalidKeyError, StrangersError: 401, 429.
        """
        try:
            record = await self._keys.holder(key)
        except InvalidKeyError:
            await self._count_stranger(request)
            raise
        return self._sessions.issue(record.id) if self._sessions else None

    async def _count_stranger(self, request: HTTPConnection) -> None:
        if not self._stranger_rate:
            return
        try:
            await self._rates.count(_network_of(request), "stranger", self._stranger_rate)
        except RateLimitError as error:
            raise StrangersError(error.retry_after_s) from error

    async def _record(self, request: HTTPConnection, body: ReadBody, *, session: bool) -> KeyRecord:
        """The key that a request shows: outside its body, by its cookie, or in its body."""
        for outside in _outside_the_body(request):
            return await self._keys.holder(outside)
        if session and self._sessions and cookie_counts(request):
            key_id = self._sessions.key_id(request.cookies.get(COOKIE, ""))
            if key_id is not None:
                return await self._keys.holding(key_id)
        inside = (await body()).get("key")
        if not isinstance(inside, str) or not inside:
            raise NoKeyError
        return await self._keys.holder(inside)


def _network_of(request: HTTPConnection) -> str:
    """The address a request came from; of IPv6, of which one caller has many, the /64."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else host


def _outside_the_body(request: HTTPConnection) -> Iterator[str]:
    """The keys that headers and query hold; empty ones are none."""
    authorization = request.headers.get("authorization", "")
    if authorization.lower().startswith(BEARER):
        yield authorization[len(BEARER) :].strip()
    yield from filter(None, (request.headers.get(name) for name in ("key", "x-api-key")))
    yield from filter(None, (request.query_params.get(name) for name in ("key", "token")))
