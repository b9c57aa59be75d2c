"""Counts HTTP requests as they are answered."""

import time
from collections.abc import Callable, MutableMapping
from typing import Any, TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

Answered: TypeAlias = Callable[[str, str, int, float], None]  # method, route, status, seconds


class HttpMetrics:
    """Middleware that tells of each answer's first byte, as a stream of events has no end."""

    def __init__(self, app: ASGIApp, answered: Answered) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")  # never the path as it came
                took_s = time.perf_counter() - began
                self._answered(scope["method"], route, message["status"], took_s)
            await send(message)

        await self._app(scope, receive, counted)
