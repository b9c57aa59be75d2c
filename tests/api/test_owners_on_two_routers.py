"""Two owners at two routers at once, over the same stores: each route as at one router."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from api.jobs.event_hub import EventHub
from tests.api.comfyui import owner_checks
from tests.api.comfyui.asgi_socket import connected
from tests.api.comfyui.owner_checks import COMFYUI_CHECKS, NODE
from tests.api.conftest import API, OpenSite
from tests.api.keyed import keyed_site
from tests.api.test_owners_apart import CHECKS
from tests.api.two_owners import TwoOwners, nothing_of_hers, two_owners

FILES = (  # what leaves nothing behind that a later one minds
    owner_checks.settings,
    owner_checks.change_settings,
    owner_checks.saved_files,
    owner_checks.remove_file,
    owner_checks.save_file,
    owner_checks.model_names,
    owner_checks.model_metadata,
    owner_checks.machine_paths,
    owner_checks.input_files,
    owner_checks.v2_assets,
)
JOBS = tuple(
    CHECKS[route]
    for route in (
        ("GET", f"{API}/jobs"),
        ("GET", f"{API}/fetch/{{job_id}}"),
        ("GET", f"{API}/events/{{job_id}}"),
        ("POST", f"{API}/cancel/{{job_id}}"),
        ("DELETE", f"{API}/jobs/{{job_id}}"),
        ("GET", "/view"),
        ("POST", f"{API}/execute"),
        ("POST", "/upload/image"),
    )
)
PROMPTS = tuple(
    dict.fromkeys(
        check for check in COMFYUI_CHECKS.values() if check not in {*FILES, *JOBS, nothing_of_hers}
    )
)
GROUPS = {"files": FILES, "jobs": JOBS} | {check.__name__: (check,) for check in PROMPTS}


@pytest.fixture
async def two(open_site: OpenSite) -> AsyncIterator[TwoOwners]:
    hub = EventHub()
    hers, his = await open_site(hub=hub), await open_site(hub=hub)
    async with two_owners(hers, his) as opened:
        yield opened


@pytest.mark.parametrize("group", GROUPS)
async def test_owners_are_apart_at_two_routers(two: TwoOwners, group: str) -> None:
    for check in GROUPS[group]:
        await check(two)


async def test_events_reach_an_owners_clients_at_both_routers_and_nobody_else(
    open_site: OpenSite,
) -> None:
    """All four sockets have the same clientId; each owner has one prompt that runs."""
    hub = EventHub()
    routers = [await open_site(hub=hub) for _ in range(2)]
    async with AsyncExitStack() as stack:
        keyed = [await stack.enter_async_context(keyed_site(router)) for router in routers]
        keys = {owner: await keyed[0].key(owner) for owner in ("alice", "bob")}
        sockets = {
            (owner, place): await stack.enter_async_context(
                connected(one.app, f"/ws?clientId=c&token={key}")
            )
            for owner, key in keys.items()
            for place, one in enumerate(keyed)
        }
        for socket in sockets.values():
            await socket.until("status")
        prompts = {}
        for place, (owner, key) in enumerate(keys.items()):  # each posts at another router
            client = await keyed[place].client(key)
            body = {"prompt": {"9": NODE}, "client_id": "c"}
            answer = await client.post("/prompt", json=body)
            prompts[owner] = answer.json()["prompt_id"]
        await asyncio.gather(*(socket.until_done() for socket in sockets.values()))
        for (owner, _), socket in sockets.items():
            named = {one["prompt_id"] for one in socket.of("executing") + socket.of("progress")}
            assert named == {prompts[owner]}
            counts = {one["status"]["exec_info"]["queue_remaining"] for one in socket.of("status")}
            assert counts <= {0, 1}
