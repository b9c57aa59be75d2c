"""Whose request it is, and what they may do."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from fastapi import Request

LOCAL = "local"

# execute: run and cancel jobs, upload inputs. read: what the owner has. models: add and remove
# model files. metrics: the whole service's figures. admin: keys, of every owner.
Scope = Literal["execute", "read", "models", "metrics", "admin"]
ReadBody: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Caller:
    """Who asks: all they make belongs to `owner`; `key_id` pays, or is None where nobody does."""

    owner: str
    key_id: str | None = None


class Access(Protocol):
    """Lets requests in."""

    async def caller(self, request: Request, scope: Scope, body: ReadBody) -> Caller:
        """Who asks for something of `scope`. `body` reads the JSON body, for a key in it.

        Raises:
            ServiceError: 401 without a valid key, 403 where the key lacks the scope, 429.
        """
        ...


class LocalAccess:
    """Everything belongs to one owner: a service on a loopback address, without keys."""

    async def caller(self, request: Request, scope: Scope, body: ReadBody) -> Caller:
        """Always `local`, who may do everything."""
        del request, scope, body
        return Caller(LOCAL)
