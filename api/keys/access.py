"""Who makes a request, and what they may do."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal, Protocol, TypeAlias

from starlette.requests import HTTPConnection

from graph.errors import ServiceError

LOCAL = "local"

# execute: run and cancel jobs, upload inputs. read: what the owner has. models: add and remove
# model files. metrics: the metrics of the whole service. admin: keys, of every owner.
Scope = Literal["execute", "read", "models", "metrics", "admin"]
ReadBody: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Caller:
    """Who asks: all they make belongs to `owner`; `key_id` pays, or is None where nobody does."""

    owner: str
    key_id: str | None = None


class Access(Protocol):
    """Lets requests in."""

    async def caller(
        self, request: HTTPConnection, scope: Scope, body: ReadBody, *, session: bool = False
    ) -> Caller:
        """Who asks for something of `scope`. `body` reads the JSON body, for a key in it.

        With `session` the cookie of a browser that logged in counts too.

        Raises:
            ServiceError: 401 without a valid key, 403 where the key lacks the scope, 429.
        """
        ...

    async def session(self, request: HTTPConnection, key: str) -> str | None:
        """A token for the cookie of a browser that showed this key; None: no key is needed.

        Raises:
            ServiceError: 401 for a key that does not hold, 429.
        """
        ...


@dataclass(eq=False)
class KeysNeededError(ServiceError):
    """A request from elsewhere to a service that asks nobody for a key."""

    status = 403
    code = "keys_needed"
    template = (
        "This service has no keys (COMFYRAY_AUTH=off), so it answers on loopback addresses only, "
        "not on {address}."
    )
    address: str


class LocalAccess:
    """Everything belongs to one owner: a service on a loopback address, without keys."""

    async def caller(
        self, request: HTTPConnection, scope: Scope, body: ReadBody, *, session: bool = False
    ) -> Caller:
        """Always `local`, who may do everything.

        Raises:
            KeysNeededError: the request came to an address that others reach too.
        """
        del scope, body, session
        address, _ = request.scope.get("server") or ("", None)
        if not _is_loopback(address):
            raise KeysNeededError(address)
        return Caller(LOCAL)

    async def session(self, request: HTTPConnection, key: str) -> str | None:
        """None: nobody has to log in."""
        del request, key
        return None


def _is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address; what is none (a socket, a name) is its own."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return True
