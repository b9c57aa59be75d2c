"""One owner never sees, cancels, views or chains another's: route by route.

CHECKS has an entry for every route that asks for a key; a route without one fails the test. An
entry is what Bob tries with what Alice has; it passes when he gets what he would get of nothing.
"""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx
import pytest
from PIL import Image

from tests.api.conftest import API, Site
from tests.api.keyed import KeyedSite, keyed_routes, keyed_site

Route: TypeAlias = tuple[str, str]
ADMIN = "/api/v7/admin/keys"
NEVER = "1"  # no job's id
BOB_MAY = ("execute", "read", "models")


@dataclass
class TwoOwners:
    """Alice has jobs and files; Bob has a key of his own and knows every name of hers."""

    keyed: KeyedSite
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    ended: int
    held: int  # runs until `keyed.site.runner.go`
    upload: str
    alices_key_id: str

    async def same_as_nothing(self, method: str, url: str, theirs: object, none: object) -> None:
        """Bob's answer for what is Alice's is the one for what nobody has."""
        found = await self.bob.request(method, url.format(theirs))
        missing = await self.bob.request(method, url.format(none))
        assert missing.is_error
        assert found.status_code == missing.status_code
        assert found.text.replace(str(theirs), "*") == missing.text.replace(str(none), "*")


Check: TypeAlias = Callable[[TwoOwners], Awaitable[None]]


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
async def two(site: Site) -> AsyncIterator[TwoOwners]:
    async with keyed_site(site) as keyed:
        alices_key = await keyed.key("alice")
        alice = await keyed.client(alices_key)
        bob = await keyed.client(await keyed.key("bob", scopes=BOB_MAY))
        body: dict[str, Any] = {"workflow": {}}
        ended = (
            await alice.post(f"{API}/execute", json=body, headers={"Idempotency-Key": "alices"})
        ).json()
        held = await alice.post(f"{API}/execute", json={"workflow": {"hold": 1}, "wait": 0})
        files = {"image": ("alices.png", picture(), "image/png")}
        assert (await alice.post("/upload/image", files=files)).is_success
        yield TwoOwners(
            keyed,
            alice,
            bob,
            int(ended["id"]),
            int(held.json()["id"]),
            "alices.png",
            alices_key.split("_")[1],
        )


async def of_a_job(two: TwoOwners, method: str, url: str) -> None:
    for job_id in (two.ended, two.held):
        await two.same_as_nothing(method, url, job_id, NEVER)


def job_route(method: str, url: str) -> Check:
    async def check(two: TwoOwners) -> None:
        await of_a_job(two, method, url)

    return check


async def cancel(two: TwoOwners) -> None:
    await of_a_job(two, "POST", API + "/cancel/{}")
    assert (await two.alice.get(f"{API}/fetch/{two.held}")).json()["status"] == "processing"


async def jobs(two: TwoOwners) -> None:
    assert (await two.bob.get(f"{API}/jobs")).json()["jobs"] == []
    assert len((await two.alice.get(f"{API}/jobs")).json()["jobs"]) == 2


async def execute(two: TwoOwners) -> None:
    """Her uploads and outputs are no inputs of his, her idempotency keys not his."""
    for theirs, none in (
        (two.upload, "nobodys.png"),
        (f"job:{two.ended}/9/0", f"job:{NEVER}/9/0"),
        ("ComfyUI_00001_.png [output]", "Nobodys_00001_.png [output]"),
        (f"{two.ended}/ComfyUI_00001_.png [output]", f"{NEVER}/ComfyUI_00001_.png [output]"),
        (f"../alice/input/{two.upload}", "../alice/input/nobodys.png"),
    ):
        found, missing = [
            await two.bob.post(f"{API}/execute", json={"workflow": {"image": value}})
            for value in (theirs, none)
        ]
        assert found.is_client_error
        assert found.status_code == missing.status_code
        hers = await two.alice.post(f"{API}/execute", json={"workflow": {"image": theirs}})
        assert hers.is_success or ".." in theirs
    mine = await two.bob.post(
        f"{API}/execute",
        json={"workflow": {"other": 1}},
        headers={"Idempotency-Key": "alices"},
    )
    assert mine.is_success
    assert mine.json()["id"] != two.ended


async def only_his_own_lists(two: TwoOwners) -> None:
    for url in ("/object_info", "/object_info/KSampler"):
        assert (await two.bob.get(url)).json()["KSampler"]["owner"] == "bob"


async def schema(two: TwoOwners) -> None:
    assert (await two.bob.post(f"{API}/schema", json={"workflow": {}})).json()["owner"] == "bob"


async def nothing_of_hers(two: TwoOwners) -> None:
    """The route names nothing that anybody owns."""


async def view(two: TwoOwners) -> None:
    for theirs, none in (
        (two.upload, "nobodys.png"),
        ("ComfyUI_00001_.png&type=output", "Nobodys_00001_.png&type=output"),
        (f"{two.ended}/ComfyUI_00001_.png&type=output", f"{NEVER}/x.png&type=output"),
        (f"../../alice/input/{two.upload}", "../../alice/input/nobodys.png"),
    ):
        kinds = {
            ((await two.bob.get(f"/view?filename={name}&{more}")).status_code)
            for name in (theirs, none)
            for more in ("type=input", "preview=webp", "channel=rgb")
        }
        assert kinds <= {400, 404}
    assert (await two.alice.get(f"/view?filename={two.upload}&type=input")).is_success


async def upload(two: TwoOwners) -> None:
    """A file of the same name is another file."""
    files = {"image": (two.upload, b"bobs", "image/png")}
    taken = await two.bob.post("/upload/image", files=files, data={"overwrite": "true"})
    assert taken.json()["name"] == two.upload
    seen = await two.alice.get(f"/view?filename={two.upload}&type=input")
    assert seen.content == picture()


async def mask(two: TwoOwners) -> None:
    original = '{{"filename": "{}", "type": "input"}}'
    answers = [
        await two.bob.post(
            "/upload/mask",
            files={"image": ("m.png", picture(), "image/png")},
            data={"original_ref": original.format(name), "type": "input"},
        )
        for name in (two.upload, "nobodys.png")
    ]
    assert answers[1].is_client_error
    assert answers[0].text.replace(two.upload, "nobodys.png") == answers[1].text


def admin_route(method: str, url: str) -> Check:
    """Keys are the operator's: an owner's key without the scope reaches none of them."""

    async def check(two: TwoOwners) -> None:
        answer = await two.bob.request(method, url.format(two.alices_key_id))
        assert answer.status_code == 403
        assert (await two.alice.get(f"{API}/jobs")).is_success

    return check


async def metrics(two: TwoOwners) -> None:
    assert (await two.bob.get("/metrics")).status_code == 403


CHECKS: Mapping[Route, Check] = {
    ("POST", f"{API}/execute"): execute,
    ("POST", f"{API}/cancel/{{job_id}}"): cancel,
    ("GET", f"{API}/fetch/{{job_id}}"): job_route("GET", API + "/fetch/{}"),
    ("POST", f"{API}/fetch/{{job_id}}"): job_route("POST", API + "/fetch/{}"),
    ("GET", f"{API}/events/{{job_id}}"): job_route("GET", API + "/events/{}"),
    ("GET", f"{API}/jobs"): jobs,
    ("POST", f"{API}/schema"): schema,
    ("POST", f"{API}/convert"): nothing_of_hers,
    ("GET", "/object_info"): only_his_own_lists,
    ("GET", "/object_info/{node_class}"): only_his_own_lists,
    ("GET", "/view"): view,
    ("POST", "/upload/image"): upload,
    ("POST", "/upload/mask"): mask,
    ("GET", "/metrics"): metrics,
    ("GET", ADMIN): admin_route("GET", ADMIN),
    ("POST", ADMIN): admin_route("POST", ADMIN),
    ("GET", f"{ADMIN}/{{key_id}}"): admin_route("GET", ADMIN + "/{}"),
    ("PATCH", f"{ADMIN}/{{key_id}}"): admin_route("PATCH", ADMIN + "/{}"),
    ("DELETE", f"{ADMIN}/{{key_id}}"): admin_route("DELETE", ADMIN + "/{}"),
}


def check_of(route: Route) -> Check | None:
    """ComfyUI's own routes are served under /api too, by the same functions."""
    method, path = route
    return CHECKS.get(route) or CHECKS.get((method, path.removeprefix("/api")))


def test_every_route_is_checked() -> None:
    assert [route for route in keyed_routes() if check_of(route) is None] == []


@pytest.mark.parametrize("route", CHECKS, ids=" ".join)
async def test_owners_are_apart(two: TwoOwners, route: Route) -> None:
    await CHECKS[route](two)
