"""Every route asks for a key of its scope, before it looks at anything else."""

from collections.abc import AsyncIterator, Iterator, Mapping
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from api.app import create_app
from api.keys.access import LocalAccess, Scope
from tests.api.conftest import API, Site
from tests.api.keyed import (
    PUBLIC,
    SCOPES,
    KeyedSite,
    hosted_fetch_paths,
    keyed_routes,
    keyed_site,
    translated_paths,
)

Route: TypeAlias = tuple[str, str]

WITH_BODY = frozenset({"POST", "PATCH", "PUT"})
ADMIN = "/api/v7/admin/keys"
MODELS = "/api/v7/models"
COMFYUI_READS = (
    "/view_metadata/{folder}",
    "/workflow_templates",
    "/templates/index.json",
    "/templates/{file}",
    "/prompt",
    "/queue",
    "/history",
    "/history/{prompt_id}",
    "/api/jobs",
    "/api/jobs/{prompt_id}",
    "/api/v2/jobs/{job_id}",
    "/api/v2/jobs/{job_id}/workflow",
    "/api/v2/jobs/{job_id}/events",
    "/api/v2/jobs",
    "/api/v2/assets/by-hash/{hash_}",
    "/api/v2/assets/{asset_id}",
    "/api/v2/assets/{asset_id}/content",
    "/settings",
    "/settings/{name:path}",
    "/userdata",
    "/v2/userdata",
    "/userdata/{file:path}",
    "/models",
    "/models/{folder}",
    "/embeddings",
    "/experiment/models",
    "/experiment/models/{folder}",
    "/experiment/models/preview/{folder}/{index}/{name:path}",
    "/users",
    "/features",
    "/system_stats",
    "/extensions",
    "/extensions/comfyray/template.js",
    "/api/etn/languages",
    "/api/etn/image/{id}",
    "/i18n",
    "/global_subgraphs",
    "/node_replacements",
    "/user.css",
    "/internal/logs",
    "/internal/logs/raw",
    "/internal/files/{kind}",
    "/internal/folder_paths",
)
SCOPE_OF: Mapping[Route, Scope] = {
    **{("POST", path): "execute" for path in translated_paths()},
    **{(method, path): "read" for method in ("GET", "POST") for path in hosted_fetch_paths()},
    ("POST", "/api/v4/dreambooth/model_list"): "read",
    ("GET", "/api/v6/processing/request_count"): "read",
    ("POST", "/api/v6/processing/request_count"): "read",
    ("POST", "/api/v3/system_load"): "read",
    ("POST", "/api/v6/images/model_reload"): "read",
    ("POST", "/api/v4/dreambooth/model_reload"): "read",
    ("POST", "/api/v3/delete_image"): "execute",
    ("POST", f"{API}/execute"): "execute",
    ("POST", f"{API}/cancel/{{job_id}}"): "execute",
    ("GET", f"{API}/fetch/{{job_id}}"): "read",
    ("POST", f"{API}/fetch/{{job_id}}"): "read",
    ("GET", f"{API}/events/{{job_id}}"): "read",
    ("GET", f"{API}/jobs"): "read",
    ("GET", f"{API}/jobs/{{job_id}}"): "read",
    ("DELETE", f"{API}/jobs/{{job_id}}"): "execute",
    ("GET", f"{API}/jobs/{{job_id}}/deliveries"): "read",
    ("GET", f"{API}/jobs/{{job_id}}/timeline.svg"): "read",
    ("POST", f"{API}/jobs/{{job_id}}/deliveries/{{event_id}}/replay"): "execute",
    ("GET", f"{API}/webhook_secret"): "execute",
    ("POST", f"{API}/schema"): "read",
    ("POST", f"{API}/convert"): "read",
    ("GET", "/object_info"): "read",
    ("GET", "/object_info/{node_class}"): "read",
    ("GET", "/view"): "read",
    ("HEAD", "/view"): "read",
    ("POST", "/upload/image"): "execute",
    ("POST", "/upload/mask"): "execute",
    ("PUT", "/api/etn/image/{id}"): "execute",
    **{("GET", path): "read" for path in COMFYUI_READS},
    ("POST", "/settings"): "execute",
    ("POST", "/settings/{name:path}"): "execute",
    ("POST", "/userdata/{file:path}"): "execute",
    ("DELETE", "/userdata/{file:path}"): "execute",
    ("POST", "/prompt"): "execute",
    ("POST", "/queue"): "execute",
    ("POST", "/interrupt"): "execute",
    ("POST", "/history"): "execute",
    ("POST", "/api/jobs/cancel"): "execute",
    ("POST", "/api/jobs/{prompt_id}/cancel"): "execute",
    ("POST", "/api/v2/jobs"): "execute",
    ("POST", "/api/v2/jobs/{job_id}/cancel"): "execute",
    ("POST", "/api/v2/assets"): "execute",
    ("POST", "/api/v2/assets/from-hash"): "execute",
    ("HEAD", "/api/v2/assets/by-hash/{hash_}"): "read",
    ("HEAD", "/api/v2/assets/{asset_id}/content"): "read",
    ("DELETE", "/api/v2/assets/{asset_id}"): "execute",
    ("POST", "/free"): "execute",
    ("PATCH", "/internal/logs/subscribe"): "execute",
    ("GET", "/metrics"): "metrics",
    ("GET", "/api/v7/account"): "read",
    ("GET", MODELS): "read",
    ("POST", MODELS): "models",
    ("GET", f"{MODELS}/{{model_id}}"): "read",
    ("DELETE", f"{MODELS}/{{model_id}}"): "models",
    ("POST", f"{MODELS}/uploads"): "models",
    ("PUT", f"{MODELS}/uploads/{{upload_id}}"): "models",
    ("GET", f"{MODELS}/uploads/{{upload_id}}"): "models",
    ("HEAD", f"{MODELS}/uploads/{{upload_id}}"): "models",
    ("DELETE", f"{MODELS}/uploads/{{upload_id}}"): "models",
    ("POST", f"{MODELS}/uploads/{{upload_id}}/complete"): "models",
    ("GET", ADMIN): "admin",
    ("POST", ADMIN): "admin",
    ("GET", f"{ADMIN}/{{key_id}}"): "admin",
    ("DELETE", "/api/v7/admin/owners/{owner}"): "admin",
    ("PATCH", f"{ADMIN}/{{key_id}}"): "admin",
    ("DELETE", f"{ADMIN}/{{key_id}}"): "admin",
}


def _as_routed(path: str) -> str:
    """A path of the document as routes spell it: some parameters take slashes."""
    for name in ("path", "file"):
        path = path.replace(f"{{{name}}}", f"{{{name}:path}}")
    return path.replace("/settings/{name}", "/settings/{name:path}").replace(
        "{index}/{name}", "{index}/{name:path}"
    )


def scope_of(route: Route) -> Scope:
    """The scope of a route; ComfyUI's own are served under /api too."""
    method, path = route
    found = SCOPE_OF.get(route) or SCOPE_OF.get((method, path.removeprefix("/api")))
    assert found, f"say in SCOPE_OF which scope {method} {path} takes"
    return found


async def asked(client: httpx.AsyncClient, route: Route) -> tuple[int, str]:
    """Status and error code of a request, "" where it is answered."""
    method, path = route
    url = path.replace("{job_id}", "1").replace("{request_id}", "1").replace("{key_id}", "0" * 16)
    body: dict[str, Any] | None = {"workflow": {}} if method in WITH_BODY else None
    answer = await client.request(method, url, json=body)
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    if method == "HEAD" and answer.is_error:  # its body is another's, of the same status
        return await asked(client, ("GET", path))
    return answer.status_code, _code(answer.json()) if answer.is_error else ""


def _code(body: dict[str, Any]) -> str:
    """The contract's code, or in ComfyUI's routes what they say themselves."""
    return str(body["errors"][0]["code"] if "errors" in body else body["error"])


@pytest.fixture
async def keyed(site: Site) -> AsyncIterator[KeyedSite]:
    async with keyed_site(site) as opened:
        yield opened


async def test_no_route_lets_anybody_in_without_a_key_that_holds(keyed: KeyedSite) -> None:
    nobody = await keyed.client()
    wrong = await keyed.client((await keyed.key("acme"))[:-1] + "!")
    routes = keyed_routes()
    assert {route: await asked(nobody, route) for route in routes} == dict.fromkeys(
        routes, (401, "missing_key")
    )
    assert {route: await asked(wrong, route) for route in routes} == dict.fromkeys(
        routes, (401, "invalid_key")
    )


async def test_every_route_takes_a_key_of_its_scope_and_no_other(keyed: KeyedSite) -> None:
    with_only = {s: await keyed.client(await keyed.key("acme", scopes=(s,))) for s in SCOPES}
    without = {
        scope: await keyed.client(
            await keyed.key("acme", scopes=tuple(one for one in SCOPES if one != scope))
        )
        for scope in SCOPES
    }
    for route in keyed_routes():
        scope = scope_of(route)
        assert await asked(without[scope], route) == (403, "missing_scope"), route
        status, _ = await asked(with_only[scope], route)
        assert status not in {401, 403}, route
        assert status < 500, route


async def test_the_documentation_says_which_routes_take_a_key(keyed: KeyedSite) -> None:
    document = (await (await keyed.client()).get("/openapi.json")).json()
    said = {
        (method.upper(), _as_routed(path)): "security" in operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert said == {route: route not in PUBLIC for route in said}
    assert document["components"]["securitySchemes"].keys() == {
        "HTTPBearer",
        "APIKeyHeader",
        "APIKeyQuery",
    }


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1", 200), ("[::1]", 200), ("10.0.0.5", 403), ("[fe80::1]", 403)]
)
async def test_without_keys_only_loopback_addresses_are_answered(
    site: Site, host: str, status: int
) -> None:
    app = create_app(site.service, LocalAccess(), manage_service=False)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}:80") as client:
        assert (await client.get(f"{API}/jobs")).status_code == status


def _called(dependant: Dependant) -> Iterator[Any]:
    """What is called for a request, each after what it depends on."""
    for needed in dependant.dependencies:
        yield from _called(needed)
        yield needed.call


def test_no_request_enters_a_thread_for_its_dependencies(keyed: KeyedSite) -> None:
    routes = [route.original_route for route in iter_route_contexts(keyed.app.routes)]
    dependants = [route.dependant for route in routes if isinstance(route, APIRoute)]
    calls = [call for dependant in dependants for call in _called(dependant)]
    assert len(calls) > 300
    assert not [
        call
        for call in calls
        if not iscoroutinefunction(call) and not iscoroutinefunction(call.__call__)
    ]
