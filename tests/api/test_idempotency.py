"""The same request sent twice is one job, where it says that it is the same."""

import asyncio
from typing import Any

import httpx

from tests.api.conftest import API, OpenSite, Site


async def _keyed(site: Site, idempotency_key: str, **body: Any) -> httpx.Response:
    return await site.client.post(
        f"{API}/execute", json={"wait": 0, **body}, headers={"Idempotency-Key": idempotency_key}
    )


async def test_the_same_idempotency_key_and_body_give_the_same_job(site: Site) -> None:
    first = (await _keyed(site, "k", workflow={"a": 1}, key="one")).json()
    second = (await _keyed(site, "k", workflow={"a": 1}, key="two")).json()
    assert first["id"] == second["id"]
    assert len(site.runner.prepared) == 1


async def test_the_same_idempotency_key_at_once_gives_one_job(site: Site) -> None:
    answers = await asyncio.gather(*(_keyed(site, "k", workflow={"name": 1}) for _ in range(5)))
    job_id = answers[0].json()["id"]
    assert {answer.json()["id"] for answer in answers} == {job_id}
    await site.ended(job_id)
    assert site.runner.started == ["1"]


async def test_an_idempotency_key_with_another_body_is_409(site: Site) -> None:
    await _keyed(site, "k", workflow={"a": 1})
    response = await _keyed(site, "k", workflow={"a": 2})
    assert response.status_code == 409
    assert response.json()["errors"][0]["code"] == "idempotency_conflict"


async def test_an_idempotency_key_outlives_a_restart(open_site: OpenSite) -> None:
    first: Site = await open_site()
    job_id = (await _keyed(first, "k", workflow={}, wait=9)).json()["id"]
    second: Site = await open_site()
    again = (await _keyed(second, "k", workflow={}, wait=9)).json()
    assert (again["id"], again["status"]) == (job_id, "success")
