"""Workflows, node types, health and documentation."""

import tomllib
from pathlib import Path

from api.jobs.service import Limits
from tests.api.conftest import API, OpenSite, Site

ROOT = Path(__file__).resolve().parents[2]


async def test_schema_is_the_runners(site: Site) -> None:
    body: dict[str, object] = {"workflow": {"3.seed": {}}}
    answer = (await site.client.post(f"{API}/schema", json=body)).json()
    assert answer == {"type": "object", "owner": "local", "properties": {"3.seed": {}}}


async def test_convert_is_the_runners(site: Site) -> None:
    answer = (await site.client.post(f"{API}/convert", json={"workflow": {"nodes": []}})).json()
    assert answer == {"workflow": {"converted": {"nodes": []}}}


async def test_convert_reads_json_only(site: Site) -> None:
    assert (await site.client.post(f"{API}/convert", content=b"{")).status_code == 400


async def test_object_info_has_all_types_or_one(site: Site) -> None:
    every = (await site.client.get("/object_info")).json()
    assert list(every) == ["KSampler"]
    assert (await site.client.get("/object_info/KSampler")).json() == every
    assert (await site.client.get("/api/object_info/Nope")).json() == {}


async def test_healthz_and_every_header_say_the_version(site: Site) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    answer = await site.client.get("/healthz")
    assert answer.json() == {"status": "ok", "version": project["version"]}
    assert answer.headers["X-Comfyray-Version"] == project["version"]
    missing = await site.client.get("/nothing-is-here")
    assert missing.headers["X-Comfyray-Version"] == project["version"]


async def test_metrics_leave_out_when_each_was_created(site: Site) -> None:
    await site.client.get("/healthz")
    page = (await site.client.get("/metrics")).text
    assert "comfyray_http_requests_total{" in page
    assert "comfyray_http_seconds_bucket{" in page
    assert "_created" not in page


async def test_metrics_count_jobs(site: Site) -> None:
    await site.execute({})
    text = (await site.client.get("/metrics")).text
    assert "comfyray_jobs_accepted_total 1.0" in text
    assert 'comfyray_jobs{state="running"} 0.0' in text
    assert 'comfyray_nodes_total{cached="false",stage="sample"} 1.0' in text
    assert 'comfyray_http_requests_total{method="POST",route="/api/v7/comfyui/execute"' in text


async def test_metrics_tell_how_long_webhooks_wait(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(webhook_delays_s=(600.0,)))
    site.answers.append(500)
    await site.execute({}, webhook="http://there.example/hook")
    await site.received.get()
    text = (await site.client.get("/metrics")).text
    assert "comfyray_webhook_lag_seconds" in text
    assert "comfyray_webhook_lag_seconds 0.0\n" not in text


async def test_a_path_as_it_came_is_no_label(site: Site) -> None:
    await site.client.get("/nowhere/secret")
    text = (await site.client.get("/metrics")).text
    assert "secret" not in text
    assert 'comfyray_http_requests_total{method="GET",route="none",status="404"} 1.0' in text


async def test_an_unknown_route_is_a_404_in_the_contracts_shape(site: Site) -> None:
    response = await site.client.get("/nowhere")
    assert response.status_code == 404
    assert response.json()["status"] == "error"
    assert response.json()["message"] == response.json()["messege"]


async def test_documentation_shows_every_route_and_error(site: Site) -> None:
    document = (await site.client.get("/openapi.json")).json()
    execute = document["paths"][f"{API}/execute"]["post"]
    schema = execute["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["workflow"]
    assert {"200", "400", "413", "415", "422", "503"} <= set(execute["responses"])
    assert {f"{API}/fetch/{{job_id}}", "/view", "/upload/mask", "/object_info"} <= set(
        document["paths"]
    )
    assert (await site.client.get("/docs")).status_code == 200


async def test_documented_answers_are_the_ones_given(site: Site) -> None:
    document = (await site.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    success = (await site.execute({})).json()
    processing = (await site.execute({"hold": 1}, wait=0)).json()
    failed = (await site.execute({"broken": 1})).json()
    assert set(success) == set(schemas["Success"]["properties"])
    assert set(processing) == set(schemas["Processing"]["properties"])
    assert set(failed) == set(schemas["Failed"]["properties"])
    assert set(success["outputs"][0]) <= set(schemas["Output"]["properties"])
