"""Routes and pages of custom node packs that an operator lets serve some, after all of our own.

What they answer is their owner's alone: it comes from the process that runs the owner's nodes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.routing import Match, Route

from api.bodies import read_bytes
from api.context import context
from packs.pages import PAGES, PageAnswer, PageRequest

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
READING = frozenset({"GET", "HEAD"})
MOST_BODY_BYTES = 2**25
KEYS = frozenset({"key", "token"})  # of the query: nobody else's
SCRIPTS = ("text/javascript", "application/javascript", "text/css")
# A document of a pack runs no script as this site: it could else act as who looks at it.
ALONE = {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'"}


class PackPages(Protocol):
    """The routes of packs."""

    def takes(self, method: str, path: str) -> bool:
        """Whether a pack has such a route."""

    def scripts(self) -> Sequence[str]:
        """The paths of scripts that the editor loads when it starts."""

    async def answer(self, owner: str, request: PageRequest) -> PageAnswer:
        """What a pack answers. Raises ServiceError."""


def add_pack_pages(app: FastAPI, pages: PackPages) -> None:
    """Serve the routes of packs. Called after every other route was added."""
    app.state.pack_pages = pages
    app.router.routes.append(PackRoute(pages))


def pack_scripts(request: Request) -> Sequence[str]:
    """The scripts of packs, for the editor."""
    pages: PackPages | None = getattr(request.app.state, "pack_pages", None)
    return () if pages is None else pages.scripts()


class PackRoute(Route):
    """Every path that a pack has a route of; what packs there are may change."""

    def __init__(self, pages: PackPages) -> None:
        super().__init__("/{path:path}", self.answered, methods=METHODS, include_in_schema=False)
        self._pages = pages

    def matches(self, scope: Any) -> tuple[Match, Any]:
        found, child = super().matches(scope)
        path = scope["path"].removeprefix(scope.get("root_path", "")) if found else ""
        if found == Match.FULL and self._pages.takes(scope["method"], path):
            return found, child
        return Match.NONE, {}

    async def answered(self, request: Request) -> Response:
        """What the pack answers to who shows a key."""
        reads = request.method in READING
        access = context(request).access
        caller = await access.caller(
            request, "read" if reads else "execute", _no_key_in_body, session=True
        )
        body = b"" if reads else await read_bytes(request, MOST_BODY_BYTES, caller.owner)
        path = cast(str, request.scope["path"])
        query = [one for one in parse_qsl(request.url.query, True) if one[0] not in KEYS]
        target = quote(path) + (f"?{urlencode(query)}" if query else "")
        asked = PageRequest(request.method, path, target, dict(request.headers), body)
        answer = await self._pages.answer(caller.owner, asked)
        return Response(answer.body, answer.status, _headers(path, answer.headers))


async def _no_key_in_body() -> Mapping[str, Any]:
    """The body is the pack's; a key in it would be told to it."""
    return {}


def _headers(path: str, headers: Mapping[str, str]) -> dict[str, str]:
    kind = headers.get("content-type", "")
    script = path.removeprefix("/api").startswith(PAGES) and kind.startswith(SCRIPTS)
    return {**headers} if script else {**headers, **ALONE}
