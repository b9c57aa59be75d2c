"""Comfy's API v2, as its SDK speaks it, over the jobs of the service."""

from typing import Any

import pytest

from tests.api.conftest import Site

PLACE = "/api/v2/jobs"
NODE = {"class_type": "KSampler", "inputs": {}}
WORKFLOW = {"9": {"class_type": "SaveImage", "inputs": {}}}


async def created(site: Site, workflow: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await site.client.post(PLACE, json={"workflow": workflow}, headers=headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def ended(site: Site, job: dict[str, Any]) -> dict[str, Any]:
    record = (await site.service.stores.prompts.find("local", job["id"])).record
    await site.ended(record.id)
    return dict((await site.client.get(f"{PLACE}/{job['id']}")).json())


async def test_a_job_is_created_waited_for_and_read(site: Site) -> None:
    job = await created(site, WORKFLOW)
    assert job["status"] in {"queued", "running"}
    assert job["urls"]["self"].endswith(f"{PLACE}/{job['id']}")
    done = await ended(site, job)
    assert done["status"] == "succeeded"
    output = next(one for one in done["outputs"] if one["node_id"] == "9")
    assert (output["type"], output["content_type"]) == ("image", "image/png")
    picture = await site.client.get(output["url"])
    assert len(picture.content) == output["size_bytes"]
    assert done["metrics"]["execution_ms"] >= 0
    workflow = await site.client.get(f"{PLACE}/{job['id']}/workflow")
    assert workflow.json() == {"workflow": WORKFLOW, "format": "api"}
    assert done["progress"]["value"] == 1.0
    assert job["id"] in (await site.client.get("/history")).json()


async def test_a_failure_says_why_and_where(site: Site) -> None:
    failed = await ended(site, await created(site, {**WORKFLOW, "broken": NODE}))
    assert failed["status"] == "failed"
    error = failed["error"]
    assert (error["code"], error["node_id"], error["class_type"]) == (
        "broken_model",
        "3",
        "KSampler",
    )


async def test_a_job_is_cancelled_once_and_for_all(site: Site) -> None:
    job = await created(site, {**WORKFLOW, "hold": NODE})
    await site.runner.running.wait()
    for _ in range(2):
        answer = await site.client.post(f"{PLACE}/{job['id']}/cancel")
        assert answer.json()["status"] == "canceled"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_workflow"),
        ({"workflow": []}, "invalid_workflow"),
        ({"workflow": {"unknown": NODE}}, "invalid_workflow"),
        ({"workflow": {"nodes": [], "links": [], "version": 0.4}}, "workflow_format_ui"),
        ({"workflow": WORKFLOW, "webhook_url": "https://x"}, "invalid_request"),
        ({"workflow": WORKFLOW, "inputs": {}}, "invalid_request"),
    ],
)
async def test_what_is_refused(site: Site, body: dict[str, Any], code: str) -> None:
    answer = await site.client.post(PLACE, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


async def test_an_unknown_job_is_not_found(site: Site) -> None:
    answer = await site.client.get(f"{PLACE}/00000000-0000-0000-0000-000000000000")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_an_idempotency_key_is_used_once(site: Site) -> None:
    await created(site, WORKFLOW, **{"Idempotency-Key": "k"})
    again = {"Idempotency-Key": "k"}
    answer = await site.client.post(PLACE, json={"workflow": WORKFLOW}, headers=again)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_key_reuse")
