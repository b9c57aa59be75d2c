"""No URL of a caller leads into somebody's network: not as an input, a webhook, or a model."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.jobs.service import Limits
from storage.addresses import is_public
from tests.api.conftest import API, OpenSite, Site
from tests.api.guarded import (
    Canary,
    Dns,
    fetcher_of,
    listening,
    picture,
    redirects_inside,
    schemes_inside,
    urls_inside,
)


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with listening() as bird:
        yield bird


@pytest.fixture
def dns() -> Dns:
    return Dns()


@pytest.fixture
async def guarded(open_site: OpenSite, dns: Dns) -> Site:
    """A service that fetches over the wire."""
    limits = Limits(webhook_delays_s=())
    site: Site = await open_site(limits, fetcher=fetcher_of(dns))
    return site


async def _is_refused(site: Site, url: str) -> bool:
    """As an input: 4xx, and nothing was read."""
    response = await site.execute({"image": url})
    return response.is_client_error and not site.runner.read


async def test_the_public_web_is_read(guarded: Site, dns: Dns) -> None:
    url = "http://public.example/x.png"
    assert (await guarded.execute({"image": url})).status_code == 200
    assert (await guarded.execute({"image": f"{url}?to=/y.png"})).status_code == 200
    assert [file.content for file in guarded.runner.read] == [picture()] * 2


async def test_no_input_reaches_inside(guarded: Site, canary: Canary) -> None:
    urls = [*urls_inside(canary.port), *schemes_inside(canary.port)]
    let_through = [url for url in urls if not await _is_refused(guarded, url)]
    assert (let_through, canary.heard) == ([], [])


async def test_no_redirect_leads_inside(guarded: Site, canary: Canary) -> None:
    urls = redirects_inside(canary.port)
    let_through = [url for url in urls if not await _is_refused(guarded, url)]
    assert (let_through, canary.heard) == ([], [])


async def test_a_name_that_changes_its_address_is_asked_for_once(
    guarded: Site, canary: Canary, dns: Dns
) -> None:
    url = f"http://rebinding.example:{canary.port}/x.png"
    assert (await guarded.execute({"image": url})).status_code == 200
    assert [file.content for file in guarded.runner.read] == [picture()]  # of the checked address
    assert (dns.asked, canary.heard) == (["rebinding.example"], [])


async def test_a_redirect_to_a_name_that_changes_its_address_is_refused(
    guarded: Site, canary: Canary, dns: Dns
) -> None:
    url = f"http://rebinding.example:{canary.port}/x.png"
    assert await _is_refused(guarded, f"{url}?to={url}")
    assert (dns.asked, canary.heard) == (["rebinding.example"] * 2, [])


async def _attempts(site: Site, job_id: int, count: int = 1) -> list[dict[str, Any]]:
    """The attempts to deliver a job's webhook, once there are so many."""
    while True:
        listed = (await site.client.get(f"{API}/jobs/{job_id}/deliveries")).json()
        attempts: list[dict[str, Any]] = listed["events"][0]["attempts"]
        if len(attempts) >= count:
            return attempts
        await asyncio.sleep(0)


async def _is_kept_out(site: Site, url: str) -> bool:
    """As a webhook: refused at once, or not connected to when the job has ended."""
    response = await site.execute({}, webhook=url)
    if response.status_code == 422:
        return True
    assert response.status_code == 200, response.text
    return {one["status"] for one in await _attempts(site, response.json()["id"])} == {None}


async def test_no_webhook_reaches_inside(guarded: Site, canary: Canary) -> None:
    port = canary.port
    urls = [*urls_inside(port), f"gopher://127.0.0.1:{port}/", "file:///etc/passwd"]
    let_through = [url for url in urls if not await _is_kept_out(guarded, url)]
    assert (let_through, canary.heard) == ([], [])


async def test_a_webhook_whose_name_changes_its_address_is_not_sent_there(
    guarded: Site, canary: Canary, dns: Dns
) -> None:
    url = f"http://later.example:{canary.port}/"  # asked for when the job comes, and at each send
    job = (await guarded.execute({}, webhook=url)).json()
    (first,) = await _attempts(guarded, job["id"])
    (event,) = (await guarded.client.get(f"{API}/jobs/{job['id']}/deliveries")).json()["events"]
    replay = f"{API}/jobs/{job['id']}/deliveries/{event['event_id']}/replay"
    assert (await guarded.client.post(replay)).is_success
    _, second = await _attempts(guarded, job["id"], 2)
    assert (first["status"], second["status"]) == (200, None)
    assert (dns.asked, canary.heard) == (["later.example"] * 3, [])


BOTH = ["invalid_field", "missing_node_type", "value_not_in_list"]  # of the field, the workflow


@pytest.mark.parametrize("field", ["webhook", "webhook_url"])
@pytest.mark.parametrize("more", [{}, {"dry_run": True}])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "inside.example", "2130706433", "10.1.2.3"])
async def test_a_private_webhook_is_refused_at_once_and_the_setting_named(
    guarded: Site, host: str, field: str, more: dict[str, Any]
) -> None:
    asked = {field: f"http://{host}:9999/hook", **more}
    answer = await guarded.execute({}, **asked)
    (problem,) = answer.json()["errors"]
    assert (answer.status_code, problem["input"]) == (422, field)
    assert "COMFYRAY_ALLOWED_HOSTS" in answer.json()["message"]
    both = (await guarded.execute({"unknown": 1}, **asked)).json()
    assert [one["code"] for one in both["errors"]] == BOTH
    assert (await guarded.client.get(f"{API}/jobs")).json()["jobs"] == []


async def test_a_webhook_whose_name_does_not_resolve_yet_is_taken(guarded: Site) -> None:
    assert (await guarded.execute({}, webhook="http://nowhere.example/")).status_code == 200


async def test_a_webhook_follows_no_redirect(guarded: Site, canary: Canary) -> None:
    url = f"http://public.example/?to=http://127.0.0.1:{canary.port}/"
    job = (await guarded.execute({}, webhook=url)).json()
    assert [attempt["status"] for attempt in await _attempts(guarded, job["id"])] == [302]
    assert canary.heard == []


async def test_the_canary_sings(canary: Canary) -> None:
    async with httpx.AsyncClient() as client:
        await client.get(f"http://127.0.0.1:{canary.port}/")
    assert len(canary.heard) == 1


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_stay_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("target", ["http://127.0.0.1/", "http://169.254.169.254/"])
async def test_a_private_address_is_told_as_such(guarded: Site, target: str) -> None:
    body = json.loads((await guarded.execute({"image": target})).content)
    assert body["errors"][0]["code"] == "url_refused"
    assert "not a public address" in body["message"]


async def _is_no_model(site: Site, url: str) -> bool:
    """As a model: refused at once, or failed when it was to be fetched; and nothing is kept."""
    body = {"url": url, "filename": "x.safetensors"}
    response = await site.client.post("/api/v7/models", json=body)
    failed = response.status_code == 202 and response.json()["upload"]["state"] == "failed"
    listed = (await site.client.get("/api/v7/models")).json()["models"]
    return (failed or response.status_code == 422) and listed == []


async def test_no_model_comes_from_inside(guarded: Site, canary: Canary) -> None:
    urls = [*urls_inside(canary.port), *schemes_inside(canary.port)]
    let_through = [url for url in urls if not await _is_no_model(guarded, url)]
    assert (let_through, canary.heard) == ([], [])


async def test_no_host_that_is_allowed_leads_a_model_inside(
    guarded: Site, canary: Canary, dns: Dns
) -> None:
    allowed = f"https://models.example:{canary.port}/x.safetensors"
    urls = [
        *redirects_inside(canary.port, allowed),
        f"https://inside.models.example:{canary.port}/x.safetensors",
    ]
    let_through = [url for url in urls if not await _is_no_model(guarded, url)]
    assert (let_through, canary.heard) == ([], [])
    assert dns.asked.count("models.example") >= len(urls) - 1  # they were let in so far


async def test_a_model_host_that_changes_its_address_is_asked_for_once(
    guarded: Site, canary: Canary, dns: Dns
) -> None:
    url = f"https://rebinding.models.example:{canary.port}/x.safetensors"
    body = {"url": url, "filename": "x.safetensors"}
    answer = (await guarded.client.post("/api/v7/models", json=body)).json()
    error = answer["upload"]["error"]["errors"][0]
    assert error["code"] == "bad_model_file"  # what came is the checked address' own
    assert (dns.asked, canary.heard) == (["rebinding.models.example"], [])
    assert await _is_no_model(guarded, f"{url}?to={url}")
    assert canary.heard == []
