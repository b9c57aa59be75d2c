"""A running service that asks for keys, and callers who have some."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.app import create_app
from api.hosted.fetching import FETCHES, OTHER_FETCHES
from api.hosted.routes import FAMILIES
from api.hosted.unserved import ALONE, ELSEWHERE
from api.jobs.service import Service
from api.keys.access import Scope
from api.keys.key_access import KeyAccess
from api.keys.rates import Rates
from api.keys.sessions import Sessions
from api.metrics.service_metrics import ServiceMetrics
from storage.keys import Keys, KeyTerms
from tests.api.conftest import Site

SCOPES: tuple[Scope, ...] = get_args(Scope)
PUBLIC = frozenset(
    {
        ("GET", "/"),
        ("POST", "/login"),
        ("POST", "/logout"),
        ("GET", "/healthz"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/redoc"),
        ("GET", "/app"),
        ("GET", "/app/examples.json"),
        ("GET", "/outputs/{path:path}"),  # needs the signature in it
        ("HEAD", "/outputs/{path:path}"),
        ("GET", "/api/outputs/{path:path}"),
        ("HEAD", "/api/outputs/{path:path}"),
    }
)


@dataclass
class KeyedSite:
    """The application over `site`'s service, with keys."""

    site: Site
    app: FastAPI
    keys: Keys
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def key(self, owner: str, **terms: Any) -> str:
        """A new key, of every scope unless told otherwise."""
        key, _ = await self.keys.create(owner, KeyTerms(**{"scopes": SCOPES} | terms))
        return key

    async def client(self, key: str | None = None) -> httpx.AsyncClient:
        """Who sends `key` with everything."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app)
        client = httpx.AsyncClient(
            transport=transport, base_url="http://here:8000", headers=headers
        )
        return await self._stack.enter_async_context(client)


@asynccontextmanager
async def keyed_site(site: Site, *, reading_rate: str = "") -> AsyncIterator[KeyedSite]:
    keys = Keys(site.service.stores.database)
    sessions = Sessions(b"a secret of tests")
    access = KeyAccess(keys, Rates(), reading_rate=reading_rate, sessions=sessions)
    async with AsyncExitStack() as stack:
        app = create_app(site.service, access, manage_service=False)
        yield KeyedSite(site, app, keys, stack)


@dataclass
class _Unopened:
    """As much of a service as routes are made from."""

    metrics: ServiceMetrics = field(default_factory=ServiceMetrics)


def all_routes() -> list[tuple[str, str]]:
    """Method and path of every route there is."""
    app = create_app(cast(Service, _Unopened()), manage_service=False)
    return sorted(
        (method, str(route.path))
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if method != "HEAD" or "GET" not in (route.methods or ())
    )


def keyed_routes() -> list[tuple[str, str]]:
    """Those that let nobody in without a key; one that only says that it is not served may."""
    unserved = {*(f"{folder}/{{rest:path}}" for folder in ELSEWHERE), *ALONE}
    return [route for route in all_routes() if route not in PUBLIC and route[1] not in unserved]


def translated_paths() -> list[str]:
    """The hosted API's endpoints that run something."""
    return [path for family in FAMILIES for path in (*family.paths, *family.older)]


def hosted_fetch_paths() -> list[str]:
    """The hosted API's endpoints that fetch a job."""
    return [path + end for path in (*FETCHES, *OTHER_FETCHES) for end in ("", "/{request_id}")]
