"""The FastAPI application: all routes, and one error format."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from api import files, nodes, workflows
from api.body_room import BodyRoom
from api.browsers import OtherSites, origin_of
from api.comfyui import (
    history,
    home,
    job_list,
    prompts,
    queue,
    server,
    settings,
    socket_routes,
    templates,
    tooling,
    user_data,
)
from api.comfyui import models as comfyui_models
from api.comfyui.client_socket import SocketLimits
from api.comfyui.editor import Editor
from api.comfyui.home import mount_editor
from api.comfyui.pack_pages import PackPages, add_pack_pages
from api.comfyui.sockets import Sockets
from api.comfyui.v2 import assets as v2_assets
from api.comfyui.v2 import jobs as v2_jobs
from api.context import Context
from api.docs_page import add_docs
from api.errors import add_error_handlers
from api.heavy_work import HeavyWork
from api.hosted import fetching, routes, site_routes, unserved
from api.hosted.options import HostedOptions
from api.jobs import deliveries, execute
from api.jobs import routes as jobs
from api.jobs.service import Service
from api.json_reading import BodyLimits
from api.keys import account, admin, owners
from api.keys.access import Access, LocalAccess
from api.large_requests import add_refused_handler
from api.metrics import health
from api.metrics.http_metrics import HttpMetrics
from api.models import routes as models
from api.models import uploads as model_uploads
from api.openapi import completed
from api.page import routes as page
from api.page.routes import mount_page
from api.slow_senders import BodyPace, SlowSenders
from api.version import VERSION, VersionHeader

DESCRIPTION = "ComfyUI workflows over REST. Post a workflow, get ComfyUI's pictures."

CORS: Mapping[str, Any] = {  # no cookies: pages of other sites show a key
    "allow_methods": ["*"],
    "allow_headers": ["*"],
    "expose_headers": ["Retry-After", "ETag", "Content-Range", "X-Comfyray-Version"],
}


class Application(FastAPI):
    """FastAPI with a complete document."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = completed(super().openapi())
        return self.openapi_schema


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Every route. They know nothing of an application, and take long to make when first asked."""
    router = APIRouter()
    own = (
        execute,
        jobs,
        deliveries,
        workflows,
        nodes,
        files,
        model_uploads,
        models,
        admin,
        owners,
        health,
        account,
        page,
    )
    comfyui = (
        settings,
        user_data,
        comfyui_models,
        server,
        prompts,
        queue,
        history,
        templates,
        socket_routes,
    )
    hosted = (fetching, routes, site_routes, unserved)
    for module in (*own, home, *comfyui, job_list, tooling, v2_jobs, v2_assets):
        router.include_router(module.router)
    for module in (nodes, files, *comfyui):  # ComfyUI serves each of its routes under /api too
        router.include_router(module.router, prefix="/api", include_in_schema=False)
    for module in hosted:
        router.include_router(module.router)
    return tuple(router.routes)


def documented_routes(
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> Application:
    """Every route and the OpenAPI document, over no service yet."""
    return Application(
        title="comfyray",
        description=DESCRIPTION,
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        routes=list(_routes()),
    )


def create_app(
    service: Service,
    access: Access | None = None,
    *,
    body_limits: BodyLimits | None = None,
    heavy: HeavyWork | None = None,
    hosted: HostedOptions | None = None,
    public_url: str = "",
    cors_origins: frozenset[str] = frozenset(),
    pace: BodyPace | None = None,
    sockets: SocketLimits | None = None,
    packs: PackPages | None = None,
    manage_service: bool = True,
) -> FastAPI:
    """The application over a service.

    URLs in answers begin with `public_url`, or with what a request says was called. Pages of
    `cors_origins` may call it from a browser, no others.
    `manage_service` opens the service with the application and closes it with it; switch it off
    where somebody else does.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.open()
        yield
        await service.close()

    app = documented_routes(lifespan if manage_service else None)
    limits = body_limits or BodyLimits()
    app.state.context = Context(
        service,
        access or LocalAccess(),
        limits,
        heavy or HeavyWork(),
        public_url,
    )
    app.state.editor = editor = Editor.installed()
    app.state.sockets = Sockets(service, sockets or SocketLimits())
    app.state.hosted = hosted or HostedOptions()
    add_docs(app)
    mount_page(app)
    if packs is not None:
        add_pack_pages(app, packs)
    mount_editor(app, editor)
    add_error_handlers(app)
    add_refused_handler(app)
    app.add_middleware(BodyRoom, most_bytes=limits.most_held_bytes)
    app.add_middleware(SlowSenders, pace=pace or BodyPace())
    if cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=sorted(cors_origins), **CORS)
    app.add_middleware(OtherSites, allowed=cors_origins, own=origin_of(public_url))
    app.add_middleware(HttpMetrics, answered=service.metrics.answered)
    app.add_middleware(VersionHeader)
    return app
