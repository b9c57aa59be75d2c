"""One owner never sees, cancels, views or chains another's: route by route.

CHECKS has an entry for every route that asks for a key; a route without one fails the test. An
entry is what Bob tries with what Alice has; it passes when he gets what he would get of nothing.
"""

from collections.abc import AsyncIterator, Mapping

import pytest

from tests.api.comfyui.owner_checks import COMFYUI_CHECKS
from tests.api.conftest import API, Site
from tests.api.keyed import hosted_fetch_paths, keyed_routes, translated_paths
from tests.api.models import lora
from tests.api.two_owners import Check, Route, TwoOwners, nothing_of_hers, picture, two_owners

ADMIN = "/api/v7/admin/keys"
MODELS = "/api/v7/models"
IMAGE_TO_IMAGE = "/api/v7/images/image-to-image"
NEVER = "1"  # no job's id


@pytest.fixture
async def two(site: Site) -> AsyncIterator[TwoOwners]:
    async with two_owners(site, site) as opened:
        yield opened


async def of_a_job(two: TwoOwners, method: str, url: str) -> None:
    for job_id in (two.ended, two.held):
        await two.same_as_nothing(method, url, job_id, NEVER)


def job_route(method: str, url: str) -> Check:
    async def check(two: TwoOwners) -> None:
        await of_a_job(two, method, url)

    return check


async def forget(two: TwoOwners) -> None:
    assert (await two.bob.delete("/api/v7/admin/owners/alice")).status_code == 403
    assert (await two.alice.get(f"{API}/fetch/{two.ended}")).status_code == 200


async def cancel(two: TwoOwners) -> None:
    await of_a_job(two, "POST", API + "/cancel/{}")
    assert (await two.alice.get(f"{API}/fetch/{two.held}")).json()["status"] == "processing"


async def delete(two: TwoOwners) -> None:
    await of_a_job(two, "DELETE", API + "/jobs/{}")
    for job_id in (two.ended, two.held):
        assert (await two.alice.get(f"{API}/fetch/{job_id}")).is_success


async def webhook_secret(two: TwoOwners) -> None:
    url = f"{API}/webhook_secret"
    assert (await two.bob.get(url)).json() != (await two.alice.get(url)).json()


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


async def view_headers(two: TwoOwners) -> None:
    for name in (f"{two.upload}&type=input", "ComfyUI_00001_.png", "nobodys.png"):
        assert (await two.bob.head(f"/view?filename={name}")).status_code == 404
    assert (await two.alice.head(f"/view?filename={two.upload}&type=input")).is_success


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


async def account(two: TwoOwners) -> None:
    his, hers = [
        (await client.get("/api/v7/account")).json()["usage"] for client in (two.bob, two.alice)
    ]
    assert (his["jobs"], hers["jobs"]) == (0, 2)


async def models(two: TwoOwners) -> None:
    assert (await two.bob.get(MODELS)).json()["models"] == []
    assert len((await two.alice.get(MODELS)).json()["models"]) == 1


async def add_model(two: TwoOwners) -> None:
    """The same content is another model, of his own."""
    mine = (await two.bob.post(MODELS, files={"file": ("m.safetensors", lora())})).json()["model"]
    assert mine["id"] != two.model
    await two.bob.delete(f"{MODELS}/{mine['id']}")
    assert (await two.alice.get(f"{MODELS}/{two.model}")).is_success


def model_route(method: str) -> Check:
    async def check(two: TwoOwners) -> None:
        await two.same_as_nothing(method, MODELS + "/{}", two.model, f"mdl_{'0' * 20}")
        assert (await two.alice.get(f"{MODELS}/{two.model}")).is_success

    return check


def upload_route(method: str, end: str = "") -> Check:
    async def check(two: TwoOwners) -> None:
        url = f"{MODELS}/uploads/{{}}{end}"
        two.bob.headers["Content-Range"] = "bytes 0-9/100"
        await two.same_as_nothing(method, url, two.model_upload, f"upl_{'0' * 32}")
        hers = (await two.alice.get(f"{MODELS}/uploads/{two.model_upload}")).json()["upload"]
        assert (hers["state"], hers["offset"]) == ("receiving", 0)

    return check


async def translated(two: TwoOwners) -> None:
    """A workflow made of a request's fields reads pictures as any other: his own."""
    answers = [
        await two.bob.post(
            "/api/v7/images/image-to-image", json={"prompt": "x", "init_image": name}
        )
        for name in (f"job:{two.ended}/9/0", f"job:{NEVER}/9/0")
    ]
    assert all(answer.is_client_error for answer in answers)
    assert answers[0].text.replace(str(two.ended), NEVER) == answers[1].text


def hosted_fetch(method: str, path: str) -> Check:
    async def check(two: TwoOwners) -> None:
        if path.endswith("}"):
            await of_a_job(two, method, path.replace("{request_id}", "{}"))
            return
        found, missing = [
            await two.bob.request(method, path, json={"request_id": str(job_id)})
            for job_id in (two.ended, NEVER)
        ]
        assert found.is_client_error
        assert found.text.replace(str(two.ended), NEVER) == missing.text

    return check


async def counted(two: TwoOwners) -> None:
    url = "/api/v6/processing/request_count"
    his, hers = [(await one.get(url)).json()["processing_count"] for one in (two.bob, two.alice)]
    assert his == 0
    assert hers > 0


async def delete_image(two: TwoOwners) -> None:
    await hosted_fetch("POST", "/api/v3/delete_image")(two)
    assert (await two.alice.get(f"{API}/fetch/{two.ended}")).is_success


CHECKS: Mapping[Route, Check] = {
    **COMFYUI_CHECKS,
    ("POST", "/api/v4/dreambooth/model_list"): only_his_own_lists,
    ("GET", "/api/v6/processing/request_count"): counted,
    ("POST", "/api/v6/processing/request_count"): counted,
    ("POST", "/api/v3/system_load"): nothing_of_hers,
    ("POST", "/api/v6/images/model_reload"): nothing_of_hers,
    ("POST", "/api/v4/dreambooth/model_reload"): nothing_of_hers,
    ("POST", "/api/v3/delete_image"): delete_image,
    **{("POST", path): translated for path in translated_paths()},
    **{
        (method, path): hosted_fetch(method, path)
        for method in ("GET", "POST")
        for path in hosted_fetch_paths()
    },
    ("POST", f"{API}/execute"): execute,
    ("POST", f"{API}/cancel/{{job_id}}"): cancel,
    ("GET", f"{API}/fetch/{{job_id}}"): job_route("GET", API + "/fetch/{}"),
    ("POST", f"{API}/fetch/{{job_id}}"): job_route("POST", API + "/fetch/{}"),
    ("GET", f"{API}/events/{{job_id}}"): job_route("GET", API + "/events/{}"),
    ("GET", f"{API}/jobs"): jobs,
    ("GET", f"{API}/jobs/{{job_id}}"): job_route("GET", API + "/jobs/{}"),
    ("DELETE", f"{API}/jobs/{{job_id}}"): delete,
    ("GET", f"{API}/jobs/{{job_id}}/timeline.svg"): job_route("GET", API + "/jobs/{}/timeline.svg"),
    ("GET", f"{API}/jobs/{{job_id}}/deliveries"): job_route("GET", API + "/jobs/{}/deliveries"),
    ("POST", f"{API}/jobs/{{job_id}}/deliveries/{{event_id}}/replay"): job_route(
        "POST", API + "/jobs/{}/deliveries/1/replay"
    ),
    ("GET", f"{API}/webhook_secret"): webhook_secret,
    ("POST", f"{API}/schema"): schema,
    ("POST", f"{API}/convert"): nothing_of_hers,
    ("GET", "/object_info"): only_his_own_lists,
    ("GET", "/object_info/{node_class}"): only_his_own_lists,
    ("GET", "/view"): view,
    ("HEAD", "/view"): view_headers,
    ("POST", "/upload/image"): upload,
    ("POST", "/upload/mask"): mask,
    ("GET", "/metrics"): metrics,
    ("GET", "/api/v7/account"): account,
    ("GET", MODELS): models,
    ("POST", MODELS): add_model,
    ("GET", f"{MODELS}/{{model_id}}"): model_route("GET"),
    ("DELETE", f"{MODELS}/{{model_id}}"): model_route("DELETE"),
    ("POST", f"{MODELS}/uploads"): nothing_of_hers,
    ("PUT", f"{MODELS}/uploads/{{upload_id}}"): upload_route("PUT"),
    ("GET", f"{MODELS}/uploads/{{upload_id}}"): upload_route("GET"),
    ("HEAD", f"{MODELS}/uploads/{{upload_id}}"): upload_route("HEAD"),
    ("DELETE", f"{MODELS}/uploads/{{upload_id}}"): upload_route("DELETE"),
    ("POST", f"{MODELS}/uploads/{{upload_id}}/complete"): upload_route("POST", "/complete"),
    ("GET", ADMIN): admin_route("GET", ADMIN),
    ("POST", ADMIN): admin_route("POST", ADMIN),
    ("GET", f"{ADMIN}/{{key_id}}"): admin_route("GET", ADMIN + "/{}"),
    ("PATCH", f"{ADMIN}/{{key_id}}"): admin_route("PATCH", ADMIN + "/{}"),
    ("DELETE", f"{ADMIN}/{{key_id}}"): admin_route("DELETE", ADMIN + "/{}"),
    ("DELETE", "/api/v7/admin/owners/{owner}"): forget,
}


HOSTED = {*translated_paths(), *hosted_fetch_paths()}


def check_of(route: Route) -> Check | None:
    """ComfyUI's own routes are served under /api too, by the same functions."""
    method, path = route
    return CHECKS.get(route) or CHECKS.get((method, path.removeprefix("/api")))


def test_every_route_is_checked() -> None:
    assert [route for route in keyed_routes() if check_of(route) is None] == []


OWN = [route for route in CHECKS if not set(route) & HOSTED]


@pytest.mark.parametrize("route", OWN, ids=" ".join)
async def test_owners_are_apart(two: TwoOwners, route: Route) -> None:
    await CHECKS[route](two)


async def test_owners_are_apart_in_the_hosted_api(two: TwoOwners) -> None:
    for route, check in CHECKS.items():
        if set(route) & HOSTED:
            await check(two)
