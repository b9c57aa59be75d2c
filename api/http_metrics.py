"""Counts of HTTP requests, by route and status."""

import time
from collections.abc import MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from api.metrics import SECONDS


class HttpMetrics:
    """Middleware that counts; `took` is up to the first byte, as a stream of events has no end."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "comfyray_http_requests",
            "HTTP requests.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._took_s = Histogram(
            "comfyray_http_seconds",
            "From a request to the first byte of its answer.",
            ["route"],
            registry=registry,
            buckets=SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")  # never the path as it came
                self._requests.labels(scope["method"], route, message["status"]).inc()
                self._took_s.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counted)
