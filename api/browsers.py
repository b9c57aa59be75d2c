"""Rejects requests that pages of other sites make through a visitor's browser."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from api.errors import error_response
from api.keys.sessions import is_own_origin
from graph.errors import ServiceError

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

ANYWHERE = ("/outputs/", "/healthz")  # signed or public: other sites may show them
MANNERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


def origin_of(url: str) -> str:
    """The origin of a URL, "https://pictures.example"; "" of none."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""


@dataclass(eq=False)
class ForeignOriginError(ServiceError):
    """A request that a page of another site had a browser send."""

    status = 403
    code = "foreign_origin"
    template = (
        "Pages of {origin!r} may not call this service. "
        "COMFYRAY_CORS_ORIGINS names the origins that may."
    )
    origin: str


class OtherSites:
    """ASGI middleware: refuses requests and sockets of pages of other sites; nothing is framed.

    `allowed` are origins that may call, "https://app.example"; `own` is the service's public one,
    where a proxy shows it under another host's name.
    """

    def __init__(self, app: AsgiApp, allowed: frozenset[str] = frozenset(), own: str = "") -> None:
        self._app = app
        self._allowed = allowed | ({own} if own else frozenset())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        origin = self._foreign(scope)
        if origin is None:
            await self._app(scope, receive, _with_manners(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it was accepted: a 403
        else:
            await error_response(ForeignOriginError(origin[:200]))(scope, receive, send)

    def _foreign(self, scope: Message) -> str | None:
        """The other site's origin, or None where none sends this."""
        headers = Headers(scope=scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.startswith(ANYWHERE):
            return None
        origin = headers.get("origin")
        if origin is not None:
            fine = origin.lower() in self._allowed or is_own_origin(origin, headers)
            return None if fine else origin
        opened = headers.get("sec-fetch-mode") == "navigate"  # a link that somebody followed
        if headers.get("sec-fetch-site") == "cross-site" and not opened:
            return headers.get("referer", "another site")
        return None


def _with_manners(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in MANNERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with
