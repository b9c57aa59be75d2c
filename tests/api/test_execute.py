"""POST /execute: every answer and status of the contract."""

import asyncio
import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api.jobs.service import Limits
from api.json_reading import BodyLimits
from api.keys.access import Caller
from storage.jobs.records import QueueLimits
from tests.api.conftest import API, OpenSite, Site


async def test_a_workflow_comes_back_with_its_pictures(site: Site) -> None:
    response = await site.execute({}, track_id="mine")
    answer = response.json()
    assert response.status_code == 200
    assert answer["status"] == "success"
    assert 0 < answer["id"] < 2**53
    assert answer["track_id"] == "mine"
    assert answer["meta"] == {"seed": {"3": 42}, "overrides": {}}
    assert answer["output"] == [entry["url"] for entry in answer["outputs"]]
    assert answer["timings"]["nodes"][0] == {
        "node_id": "3",
        "class_type": "KSampler",
        "stage": "sample",
        "start_s": 0.0,
        "end_s": 0.1,
        "cached": False,
    }
    assert answer["timings"]["queued_s"] >= 0
    assert answer["generationTime"] >= 0


async def test_outputs_are_in_node_order_and_previews_come_last(site: Site) -> None:
    outputs = (await site.execute({})).json()["outputs"]
    assert [(entry["node_id"], entry.get("temporary")) for entry in outputs] == [
        ("4", None),
        ("9", None),
        ("9", None),
        ("10", True),
    ]


async def test_an_output_says_what_the_file_is(site: Site) -> None:
    entry = (await site.execute({})).json()["outputs"][1]
    content = (await site.client.get(entry["url"])).content
    assert entry["filename"] == "ComfyUI_00001_.png"
    assert (entry["width"], entry["height"], entry["mime_type"]) == (16, 8, "image/png")
    assert entry["size"] == len(content)
    assert entry["expires_at"].endswith("Z")


@pytest.mark.folder
async def test_urls_are_absolute_and_on_the_host_that_was_asked(site: Site) -> None:
    response = await site.client.post(
        f"{API}/execute", json={"workflow": {}}, headers={"Host": "pictures.example:99"}
    )
    assert response.json()["output"][0].startswith("http://pictures.example:99/outputs/local/")


async def test_a_png_carries_prompt_and_workflow(site: Site) -> None:
    url = (await site.execute({"name": "ä"})).json()["output"][0]
    picture = Image.open(io.BytesIO((await site.client.get(url)).content))
    assert json.loads(picture.info["prompt"]) == {"name": "ä"}
    assert json.loads(picture.info["workflow"]) == {"nodes": []}


async def test_without_metadata_a_png_carries_nothing(site: Site) -> None:
    url = (await site.execute({}, metadata="no")).json()["output"][0]
    picture = Image.open(io.BytesIO((await site.client.get(url)).content))
    assert "prompt" not in picture.info


@pytest.mark.parametrize(
    ("format_", "kind", "ending"),
    [("webp", "WEBP", ".webp"), ("jpeg", "JPEG", ".jpg"), ("JPG", "JPEG", ".jpg")],
)
async def test_pictures_come_in_the_format_asked_for(
    site: Site, format_: str, kind: str, ending: str
) -> None:
    entry = (await site.execute({}, format=format_, quality="80")).json()["outputs"][0]
    picture = Image.open(io.BytesIO((await site.client.get(entry["url"])).content))
    assert picture.format == kind
    assert entry["filename"].endswith(ending)


async def test_base64_answers_hold_the_files_instead_of_urls(site: Site) -> None:
    answer = (await site.execute({}, base64="true")).json()
    picture = Image.open(io.BytesIO(base64.b64decode(answer["output"][0])))
    assert np.array(picture).max() == 127
    assert answer["outputs"][0]["url"] is None
    assert answer["outputs"][0]["base64"] == answer["output"][0]


async def test_wait_zero_answers_at_once_and_says_where_to_look(site: Site) -> None:
    answer = (await site.execute({"hold": 1}, wait="0", track_id=7)).json()
    assert answer["status"] == "processing"
    assert answer["fetch_result"] == f"http://here:8000{API}/fetch/{answer['id']}"
    assert answer["events"] == f"http://here:8000{API}/events/{answer['id']}"
    assert answer["output"] == answer["future_links"] == []
    assert answer["message"] == answer["messege"] != ""
    assert answer["queue_position"] == 0
    assert answer["eta"] > 0
    assert answer["track_id"] == "7"


async def test_prefer_respond_async_means_wait_zero(site: Site) -> None:
    response = await site.client.post(
        f"{API}/execute",
        json={"workflow": {"hold": 1}, "wait": 60},
        headers={"Prefer": "respond-async"},
    )
    assert response.json()["status"] == "processing"


async def test_a_job_that_takes_longer_than_wait_is_fetched_later(site: Site) -> None:
    answer = (await site.execute({"hold": 1}, wait=0.01)).json()
    site.runner.go.set()
    await site.ended(answer["id"])
    assert (await site.fetch(answer["id"]))["status"] == "success"


async def test_a_workflow_that_cannot_run_is_refused_with_every_problem(site: Site) -> None:
    response = await site.execute({"unknown": 1})
    body = response.json()
    assert response.status_code == 422
    assert body["status"] == "error"
    assert body["message"] == body["messege"]
    assert [error["code"] for error in body["errors"]] == ["missing_node_type", "value_not_in_list"]
    assert body["errors"][1]["received"] == "eulr"
    assert (await site.client.get(f"{API}/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wait", "soon"),
        ("wait", float("inf")),
        ("format", "gif"),
        ("quality", 0),
        ("priority", 11),
        ("base64", "perhaps"),
        ("workflow", 3),
        ("webhook", "ftp://example.com"),
        ("webhook_url", "http://user:secret@example.com"),
        ("track_id", "a\0"),
        ("track_id", "a\ud800"),
    ],
)
async def test_a_wrong_field_is_named(site: Site, field: str, value: Any) -> None:
    body = json.dumps({"workflow": {}, field: value})
    response = await site.client.post(f"{API}/execute", content=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["input"].split(".")[0] in {field, "webhook"}


async def test_a_missing_workflow_is_named(site: Site) -> None:
    response = await site.client.post(f"{API}/execute", json={})
    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == "missing_field"


async def test_null_is_unset(site: Site) -> None:
    unset = dict.fromkeys(["inputs", "webhook", "track_id", "format", "wait", "base64"])
    response = await site.execute({}, **unset)
    assert response.json()["status"] == "success"


async def test_every_unknown_field_is_named_with_what_was_meant(site: Site) -> None:
    response = await site.execute({}, wiat=3, negative_prompt="x", quality=0)
    assert response.status_code == 422
    errors = {
        one["input"]: (one["code"], one.get("suggestion")) for one in response.json()["errors"]
    }
    assert errors == {
        "wiat": ("unknown_field", "wait"),
        "negative_prompt": ("unknown_field", None),
        "quality": ("invalid_field", None),
    }
    assert "'wiat'" in response.json()["message"]


@pytest.mark.parametrize("value", [[{"1": {}}], 7, True, [], 0.5])
async def test_a_workflow_of_another_type_is_told_in_plain_words(site: Site, value: Any) -> None:
    response = await site.client.post(f"{API}/execute", json={"workflow": value})
    (error,) = response.json()["errors"]
    assert (response.status_code, error["input"]) == (422, "workflow")
    assert response.json()["message"] == (
        "Field 'workflow' must be an object, or JSON text of one."
    )


async def test_comfyuis_own_body_is_taken(site: Site) -> None:
    document = {"9": {"class_type": "SaveImage", "inputs": {}}}
    body = {"prompt": document, "client_id": "x", "extra_data": {"a": 1}, "number": 1, "wait": 5}
    answer = (await site.client.post(f"{API}/execute", json=body)).json()
    assert answer["status"] == "success"
    (asked,) = site.runner.prepared
    assert asked == {"workflow": {"prompt": document, "extra_data": {"a": 1}}, "wait": 5}


@pytest.mark.parametrize("size", [10, 10_000])
async def test_an_error_answer_is_bounded_whatever_was_sent(site: Site, size: int) -> None:
    fields = {f"{'x' * size}{k}": "\U0001f600" * size for k in range(size // 10 + 1)}
    response = await site.execute({}, track_id=["y" * size] * 50, **fields)
    assert response.status_code == 422
    assert len(response.content) < 65536


@pytest.mark.parametrize("raw", [b"{", b"", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000])
async def test_what_is_no_json_object_is_400(site: Site, raw: bytes) -> None:
    response = await site.client.post(f"{API}/execute", content=raw)
    assert response.status_code == 400
    assert response.json()["status"] == "error"


async def test_another_media_type_is_415(site: Site) -> None:
    response = await site.client.post(f"{API}/execute", data={"workflow": "{}"})
    assert response.status_code == 415


async def test_a_body_over_the_limit_is_413(open_site: OpenSite) -> None:
    site: Site = await open_site(body_limits=BodyLimits(1000))
    response = await site.execute({"text": "x" * 1000})
    assert response.status_code == 413
    assert response.json()["errors"][0]["limit_bytes"] == 1000


async def test_a_body_over_the_limit_is_413_without_a_declared_length(open_site: OpenSite) -> None:
    site: Site = await open_site(body_limits=BodyLimits(1000))
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b" " * 100

    response = await site.client.post(f"{API}/execute", content=endless())
    assert response.status_code == 413


async def test_a_fault_of_ours_is_a_500_without_a_traceback(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    response = await site.execute({"bug": 1})
    error_id = response.json()["errors"][0]["error_id"]
    assert response.status_code == 500
    assert "ZeroDivisionError" not in response.text
    assert error_id in caplog.text


async def test_a_job_that_fails_says_why(site: Site) -> None:
    response = await site.execute({"broken": 1})
    answer = response.json()
    assert response.status_code == 200
    assert answer["status"] == "failed"
    assert answer["message"] == answer["messege"] == "Model x.safetensors is broken."
    assert answer["errors"][0]["code"] == "broken_model"
    assert answer["output"] == []


async def test_a_job_that_crashes_is_failed_with_an_error_id(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    answer = (await site.execute({"crash": 1})).json()
    assert answer["status"] == "failed"
    assert answer["errors"][0]["error_id"] in caplog.text


async def test_a_job_over_its_deadline_is_failed(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(deadline_s=0.02))
    answer = (await site.execute({"hold": 1})).json()
    assert answer["status"] == "failed"
    assert answer["errors"][0]["code"] == "deadline"


async def test_a_dry_run_quotes_and_records_nothing(site: Site) -> None:
    answer = (await site.execute({}, dry_run="yes")).json()
    assert answer["status"] == "success"
    assert answer["stages"] == ["sample"]
    assert site.runner.started == []
    assert (await site.client.get(f"{API}/jobs")).json()["jobs"] == []


async def test_the_key_in_a_body_does_not_reach_the_runner(site: Site) -> None:
    await site.execute({}, key="secret")
    assert "key" not in site.runner.prepared[0]


async def test_two_at_once_both_come_back_right(site: Site) -> None:
    one, two = await asyncio.gather(
        site.execute({"prefix": "one"}), site.execute({"prefix": "two"})
    )
    assert one.json()["outputs"][1]["filename"] == "one_00001_.png"
    assert two.json()["outputs"][1]["filename"] == "two_00001_.png"


async def test_a_full_service_accepts_nothing(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(running=1, queue=QueueLimits(queued=1)))
    await site.accepted({"hold": 1})
    await site.accepted({"hold": 2})
    response = await site.execute({"hold": 3})
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert len((await site.client.get(f"{API}/jobs")).json()["jobs"]) == 2


async def test_an_owner_may_have_so_many_jobs_wait(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(running=1, queue=QueueLimits(queued_per_owner=1)))
    await site.accepted({"hold": 1})
    await site.accepted({"hold": 2})
    response = await site.execute({"hold": 3})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (429, "queue_limit")
    assert int(response.headers["Retry-After"]) > 0
    others = await site.service.execute(Caller("somebody"), {"workflow": {}, "wait": 0})
    assert others["status"] == "processing"


async def test_waiting_jobs_run_by_priority_then_by_arrival(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(running=1))
    await site.accepted({"name": "first", "hold": 1})
    ids = {
        name: await site.accepted({"name": name}, priority=priority)
        for name, priority in [("low", -1), ("a", 0), ("b", 0), ("high", "5")]
    }
    places = {name: (await site.fetch(ids[name]))["queue_position"] for name in ids}
    assert places == {"high": 1, "a": 2, "b": 3, "low": 4}
    site.runner.go.set()
    await site.ended(*ids.values())
    assert site.runner.started == ["first", "high", "a", "b", "low"]


async def test_a_job_goes_on_when_the_client_goes_away(site: Site) -> None:
    waiting = asyncio.create_task(site.execute({"name": "x", "hold": 1}))
    await site.runner.running.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    (job,) = (await site.client.get(f"{API}/jobs")).json()["jobs"]
    site.runner.go.set()
    await site.ended(job["id"])
    assert (await site.fetch(job["id"]))["status"] == "success"
    assert site.runner.cancelled == []


async def test_a_webhook_gets_the_answer(site: Site) -> None:
    answer = (await site.execute({}, webhook_url="https://you.example/hook", track_id="t")).json()
    request = await site.received.get()
    body = json.loads(request.content)
    assert (request.url.host, request.headers["Host"]) == ("93.184.216.34", "you.example")
    assert (body["status"], body["id"], body["track_id"]) == ("success", answer["id"], "t")
    assert body["output"] == answer["output"]


@pytest.mark.folder
async def test_a_plain_dict_gets_the_same_answer_without_http(site: Site) -> None:
    answer = await site.service.execute(Caller("local"), {"workflow": {}})
    assert answer["status"] == "success"
    assert answer["output"][0].startswith("/outputs/local/")
    assert (await site.client.get(answer["output"][0])).status_code == 200
