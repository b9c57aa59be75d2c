"""Keys over HTTP: where a request may carry one, how often it may be used, and making them."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.conftest import API, Site
from tests.api.keyed import KeyedSite, keyed_site

ADMIN = "/api/v7/admin/keys"
WRONG_TERMS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"owner": "Acme"}, "owner"),
    ({"owner": "../acme"}, "owner"),
    ({"scopes": []}, "scopes"),
    ({"scopes": ["root"]}, "scopes.0"),
    ({"rate": "often"}, "rate"),
    ({"rate": "0/minute"}, "rate"),
    ({"rate": "1/second;60/minute"}, "rate"),
    ({"name": "a\x00b"}, "name"),
    ({"concurrency": 0}, "concurrency"),
    ({"budget": -1}, "budget"),
    ({"budget": "NaN"}, "budget"),
    ({"budget": 1e40}, "budget"),
    ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
    ({"expires_at": "2999-01-01"}, "expires_at"),
    ({"bugdet": 3}, "bugdet"),
)


@pytest.fixture
async def keyed(site: Site) -> AsyncIterator[KeyedSite]:
    async with keyed_site(site) as opened:
        yield opened


async def test_a_key_may_come_in_five_places(keyed: KeyedSite) -> None:
    key, client = await keyed.key("acme"), await keyed.client()
    body: dict[str, Any] = {"workflow": {}}
    places: tuple[dict[str, Any], ...] = (
        {"json": {**body, "key": key}},
        {"json": body, "headers": {"Authorization": f"bearer {key}"}},
        {"json": body, "headers": {"key": key}},
        {"json": body, "headers": {"X-API-Key": key}},
        {"json": body, "params": {"key": key}},
    )
    for given in places:
        answer = (await client.post(f"{API}/execute", **given)).json()
        assert answer["status"] == "success"
    listed = await client.get(f"{API}/jobs", params={"key": key})
    assert len(listed.json()["jobs"]) == 5


async def test_fetch_reads_a_key_in_its_body(keyed: KeyedSite) -> None:
    key, client = await keyed.key("acme"), await keyed.client()
    posted = {"workflow": {}, "key": key}
    job_id = (await client.post(f"{API}/execute", json=posted)).json()["id"]
    fetched = await client.post(f"{API}/fetch/{job_id}", json={"key": key})
    assert fetched.json()["status"] == "success"
    assert (await client.post(f"{API}/fetch/{job_id}", content=b"{")).status_code == 401
    assert (await client.post(f"{API}/fetch/{job_id}", json={"key": 5})).status_code == 401


async def test_a_header_counts_before_the_body_which_is_then_not_read(keyed: KeyedSite) -> None:
    client = await keyed.client("crk_wrong")
    refused = await client.post(
        f"{API}/execute", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert refused.status_code == 401


async def test_the_key_in_a_body_is_not_the_runners_business(keyed: KeyedSite) -> None:
    client = await keyed.client()
    for path in ("execute", "schema"):
        posted = {"workflow": {}, "key": await keyed.key("acme")}
        assert (await client.post(f"{API}/{path}", json=posted)).is_success
    assert keyed.site.runner.prepared == [{"workflow": {}}]


async def test_two_keys_of_one_owner_see_the_same_jobs(keyed: KeyedSite) -> None:
    first, second = [await keyed.client(await keyed.key("acme")) for _ in range(2)]
    job_id = (await first.post(f"{API}/execute", json={"workflow": {}})).json()["id"]
    assert (await second.get(f"{API}/fetch/{job_id}")).json()["id"] == job_id


async def test_a_key_makes_as_many_requests_as_its_rate_says(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", rate="2/hour"))
    for _ in range(2):
        assert (await client.post(f"{API}/execute", json={"workflow": {}})).is_success
    refused = await client.post(f"{API}/execute", json={"workflow": {}})
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 2 * 3600
    (reason,) = refused.json()["errors"]
    assert (reason["code"], reason["limit"], reason["kind"]) == ("rate_limit", "2/hour", "change")
    assert (await client.get(f"{API}/jobs")).is_success  # reading has a rate of its own
    other = await keyed.client(await keyed.key("acme", rate="2/hour"))
    assert (await other.post(f"{API}/execute", json={"workflow": {}})).is_success


async def test_reading_is_bounded_too(site: Site) -> None:
    async with keyed_site(site, reading_rate="1/hour") as keyed:
        client = await keyed.client(await keyed.key("acme"))
        assert (await client.get(f"{API}/jobs")).is_success
        assert (await client.get(f"{API}/jobs")).json()["errors"][0]["limit"] == "1/hour"


async def test_an_admin_makes_lists_changes_and_revokes_keys(keyed: KeyedSite) -> None:
    admin = await keyed.client(await keyed.key("operator", scopes=("admin",)))
    wanted = {"owner": "acme", "name": "web", "rate": "60/minute", "concurrency": 4, "budget": 10.5}
    made = await admin.post(ADMIN, json=wanted)
    assert made.status_code == 201
    key, shown = made.json()["key"], made.json()["api_key"]
    assert shown | wanted == shown
    assert shown["scopes"] == ["execute", "read", "models"]
    client = await keyed.client(key)
    assert (await client.get(f"{API}/jobs")).is_success

    listed = await admin.get(ADMIN, params={"owner": "acme"})
    assert listed.json()["api_keys"] == [shown]
    assert key not in listed.text
    url = f"{ADMIN}/{shown['id']}"
    changed = await admin.patch(url, json={"budget": None, "scopes": ["execute"]})
    assert changed.json()["api_key"] == shown | {"budget": None, "scopes": ["execute"]}
    assert (await admin.get(url)).json() == changed.json()
    assert (await client.get(f"{API}/jobs")).status_code == 403

    assert (await admin.delete(url)).json()["api_key"]["revoked_at"] is not None
    assert (await client.get(f"{API}/jobs")).status_code == 401
    assert (await admin.delete(f"{ADMIN}/{'0' * 16}")).status_code == 404


async def test_terms_that_cannot_be_are_named(keyed: KeyedSite) -> None:
    admin = await keyed.client(await keyed.key("operator", scopes=("admin",)))
    for terms, field in WRONG_TERMS:
        refused = await admin.post(ADMIN, json={"owner": "acme"} | terms)
        assert (refused.status_code, refused.json()["errors"][0]["input"]) == (422, field)
    assert (await admin.post(ADMIN, json={})).json()["errors"][0]["code"] == "missing_field"


async def test_a_key_expires(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", expires_s=time.time() - 1))
    refused = await client.get(f"{API}/jobs")
    assert (refused.status_code, refused.json()["message"]) == (401, "The API key is expired.")
