"""Whose request it is."""

from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import Request

LOCAL = "local"


class Access(Protocol):
    """Names the owner of a request."""

    async def owner(self, request: Request, body: Mapping[str, Any] | None = None) -> str:
        """The owner; `body` is the JSON body where the route has one, for a `key` in it.

        Raises:
            ServiceError: 401 and its kin.
        """
        ...


class LocalAccess:
    """Everything belongs to one owner: a service on a loopback address, without keys."""

    async def owner(self, request: Request, body: Mapping[str, Any] | None = None) -> str:
        """Always `local`."""
        del request, body
        return LOCAL
