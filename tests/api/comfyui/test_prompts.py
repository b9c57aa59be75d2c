"""ComfyUI's prompts, queue, history and list of jobs, over the jobs of the service."""

import io
import json
import uuid
from itertools import pairwise
from typing import Any

import httpx
import pytest
from PIL import Image

from api.jobs.acceptance import Posted
from api.jobs.service import Limits
from api.keys.access import Caller
from tests.api.conftest import API, OpenSite, Site

NODE = {"class_type": "KSampler", "inputs": {"seed": 3}}
PROMPT = {"9": {"class_type": "SaveImage", "inputs": {}}}
HELD = {**PROMPT, "hold": NODE}
Document = dict[str, Any]


async def posted(site: Site, prompt: Document, **more: Any) -> str:
    answer = await site.client.post("/prompt", json={"prompt": prompt, **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prompt_id"])


async def got(site: Site, url: str) -> Any:
    answer = await site.client.get(url)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", None])
async def test_a_prompt_is_read_whatever_its_content_type(site: Site, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    body = json.dumps({"prompt": PROMPT})
    answer = await site.client.post("/prompt", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    other = await site.client.post(f"{API}/execute", content=body, headers=headers)
    assert other.status_code == (415 if kind else 200)


async def job_id_of(site: Site, prompt_id: str) -> int:
    return (await site.service.stores.prompts.find("local", prompt_id)).record.id


async def ended(site: Site, prompt_id: str) -> Document:
    """Its entry in the history."""
    await site.ended(await job_id_of(site, prompt_id))
    return dict((await got(site, f"/history/{prompt_id}"))[prompt_id])


async def begun(site: Site, prompt_id: str) -> None:
    """Until it runs, of the first that do."""
    await site.runner.running.wait()
    assert prompt_id in [item[1] for item in (await got(site, "/queue"))["queue_running"]]
    site.runner.running.clear()


async def test_a_prompt_is_run_and_told_in_the_history(site: Site) -> None:
    mine, workflow = str(uuid.uuid4()), {"nodes": [], "id": "flow"}
    extra = {"extra_pnginfo": {"workflow": workflow, "more": [1]}, "api_key_comfy_org": "secret"}
    answer = await site.client.post(
        "/api/prompt",
        json={"prompt": PROMPT, "prompt_id": mine, "client_id": "c", "extra_data": extra},
    )
    assert answer.json() == {"prompt_id": mine, "number": 1, "node_errors": {}}
    entry = await ended(site, mine)
    number, prompt_id, prompt, extra_data, _ = entry["prompt"]
    assert (number, prompt_id, prompt) == (1, mine, PROMPT)
    kept = {"extra_pnginfo": extra["extra_pnginfo"], "client_id": "c"}
    assert extra_data == kept
    assert entry["status"]["status_str"] == "success"
    assert entry["status"]["completed"] is True
    kinds = [kind for kind, _ in entry["status"]["messages"]]
    assert kinds == ["execution_start", "execution_cached", "execution_success"]
    images = entry["outputs"]["9"]["images"]
    assert images[0] == {"filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output"}
    assert entry["meta"]["9"]["real_node_id"] == "9"
    picture = await site.client.get("/view", params=images[0])
    text = Image.open(io.BytesIO(picture.content)).info
    assert json.loads(text["prompt"]) == PROMPT
    assert json.loads(text["workflow"]) == workflow
    assert json.loads(text["more"]) == [1]


@pytest.mark.parametrize("url", ["/history", "/history?max_items=5", "/api/history?offset=0"])
async def test_the_history_has_jobs_of_every_api_oldest_first(site: Site, url: str) -> None:
    first = await posted(site, PROMPT)
    await ended(site, first)
    other = await site.accepted(PROMPT)
    await site.ended(other)
    listed = await got(site, url)
    assert list(listed) == [first, str(other)]
    assert listed[str(other)]["prompt"][2:4] == [{}, {}]  # its request is not kept
    assert list(await got(site, "/history?max_items=1")) == [str(other)]
    assert list(await got(site, "/history?max_items=1&offset=0")) == [first]
    jobs = (await site.client.get(f"{API}/jobs")).json()["jobs"]
    assert [job.get("prompt_id") for job in jobs] == [None, first]


async def test_a_setting_keeps_prompts_no_longer_than_they_run(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(keep_prompts=False))
    entry = await ended(site, await posted(site, PROMPT))
    assert entry["prompt"][2:4] == [{}, {}]
    assert entry["outputs"]["9"]["images"]


async def test_a_request_of_the_other_api_is_kept_where_it_says_so(site: Site) -> None:
    job_id = await site.accepted(PROMPT, retain_inputs=True)
    await site.ended(job_id)
    assert (await got(site, f"/history/{job_id}"))[str(job_id)]["prompt"][2] == PROMPT


async def test_lists_have_the_last_prompts_as_far_as_one_answer_may_go(site: Site) -> None:
    texts = {"b": 2_500_000, "c": 2_500_000, "d": 5_000_000}
    ids = {}
    for name, length in texts.items():
        node = {"class_type": "SaveImage", "inputs": {"text": "x" * length}}
        ids[name] = await posted(site, {"9": node})
        await ended(site, ids[name])
    del ids["d"]  # too large for any answer
    (*_, last) = listed = await got(site, "/history")
    assert listed[last]["prompt"][2] == {}
    await site.client.post("/history", json={"delete": [last]})
    kept = {name: bool((await got(site, "/history"))[i]["prompt"][2]) for name, i in ids.items()}
    assert kept == {"b": False, "c": True}
    (alone,) = (await got(site, f"/history/{ids['b']}")).values()
    assert alone["prompt"][2]["9"]["inputs"]["text"] == "x" * texts["b"]


async def test_what_is_nobodys_id_is_taken_out_of_nothing(site: Site) -> None:
    for path in ("/queue", "/history"):
        body = '{"delete": ["\\ud800", "\\u0000", 5, null, [[]], "%s"]}' % ("x" * 500)
        answer = await site.client.post(path, content=body)
        assert (answer.status_code, answer.text) == (200, "")


async def test_what_is_forgotten_leaves_the_history_and_not_the_disk(site: Site) -> None:
    first, second = [await posted(site, PROMPT) for _ in range(2)]
    image = (await ended(site, first))["outputs"]["9"]["images"][0]
    await ended(site, second)
    asked = {"delete": [first, "no-such-id", "7"]}
    assert (await site.client.post("/history", json=asked)).status_code == 200
    assert await got(site, f"/history/{first}") == {}
    assert list(await got(site, "/history")) == [second]
    assert (await site.client.get(f"/api/jobs/{first}")).status_code == 404
    assert (await site.client.get("/view", params=image)).status_code == 200
    assert (await site.client.post("/history", json={"clear": True})).content == b""
    assert await got(site, "/history") == {}


async def test_one_clients_prompts_wait_for_each_other_and_can_be_taken_back(site: Site) -> None:
    first = await posted(site, HELD, client_id="c", extra_data={"auth_token_comfy_org": "s"})
    await begun(site, first)
    waiting = [await posted(site, PROMPT, client_id="c") for _ in range(3)]
    ahead = await posted(site, PROMPT, client_id="c", front=True)
    queue = await got(site, "/queue")
    ((number, prompt_id, prompt, extra, _),) = queue["queue_running"]
    assert (number, prompt_id, prompt, extra) == (1, first, HELD, {"client_id": "c"})
    assert [item[1] for item in queue["queue_pending"]] == [ahead, *waiting]
    assert queue["queue_pending"][0][0] == -5
    assert await got(site, "/prompt") == {"exec_info": {"queue_remaining": 5}}
    await site.client.post("/queue", json={"delete": [waiting[0], first, "no-such-id"]})
    assert [item[1] for item in (await got(site, "/queue"))["queue_pending"]] == [
        ahead,
        *waiting[1:],
    ]
    await site.client.post("/queue", json={"clear": True})
    queue = await got(site, "/queue")
    assert ([item[1] for item in queue["queue_running"]], queue["queue_pending"]) == ([first], [])
    assert await got(site, f"/history/{waiting[0]}") == {}
    assert (await site.client.get(f"/api/jobs/{waiting[0]}")).status_code == 404
    site.runner.go.set()
    assert (await ended(site, first))["status"]["status_str"] == "success"


async def test_one_clients_prompts_end_in_the_order_they_were_sent(site: Site) -> None:
    ids = [await posted(site, {**PROMPT, "name": NODE}, client_id="c") for _ in range(5)]
    for prompt_id in ids:
        await ended(site, prompt_id)
    assert list(await got(site, "/history")) == ids
    jobs = (await got(site, "/api/jobs"))["jobs"]
    spans = [(job["execution_start_time"], job["execution_end_time"]) for job in jobs[::-1]]
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("body", [None, {}, {"prompt_id": "mine"}])
async def test_an_interrupt_stops_what_runs(site: Site, body: Document | None) -> None:
    assert (await site.client.post("/interrupt")).status_code == 200  # nothing runs
    prompt_id = await posted(site, HELD)
    await begun(site, prompt_id)
    await site.client.post("/interrupt", json={"prompt_id": str(uuid.uuid4())})
    assert site.runner.cancelled == []
    sent = {"prompt_id": prompt_id} if body and "prompt_id" in body else body
    assert (await site.client.post("/api/interrupt", json=sent)).content == b""
    entry = await ended(site, prompt_id)
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    kind, data = entry["status"]["messages"][-1]
    assert kind == "execution_interrupted"
    assert (data["node_id"], data["node_type"]) == ("3", "KSampler")


async def test_a_failure_is_told_with_its_node(site: Site) -> None:
    entry = await ended(site, await posted(site, {**PROMPT, "broken": NODE}))
    kind, data = entry["status"]["messages"][-1]
    assert kind == "execution_error"
    assert (data["node_id"], data["node_type"]) == ("3", "KSampler")
    assert data["exception_message"] == "Model x.safetensors is broken."
    assert data["traceback"] == []


async def test_the_list_of_jobs_is_what_newer_editors_validate(site: Site) -> None:
    flow = {"extra_pnginfo": {"workflow": {"id": "flow"}}}
    done = await posted(site, PROMPT, extra_data=flow)
    await ended(site, done)
    broken = await posted(site, {**PROMPT, "broken": NODE})
    await ended(site, broken)
    held = await posted(site, HELD)
    await begun(site, held)
    page = await got(site, "/api/jobs?limit=2&offset=0")
    assert page["pagination"] == {"offset": 0, "limit": 2, "total": 3, "has_more": True}
    assert [(job["id"], job["status"]) for job in page["jobs"]] == [
        (held, "in_progress"),
        (broken, "failed"),
    ]
    error = page["jobs"][1]["execution_error"]
    assert {type(error[name]) for name in ("node_id", "node_type", "exception_message")} == {str}
    (job,) = (await got(site, "/api/jobs?status=completed,cancelled&workflow_id=flow"))["jobs"]
    assert (job["id"], job["workflow_id"], job["outputs_count"]) == (done, "flow", 4)
    assert job["preview_output"] == {
        "filename": "ComfyUI_00002_.png",
        "subfolder": "",
        "type": "output",
        "nodeId": "9",
        "mediaType": "images",
    }
    detail = await got(site, f"/api/jobs/{done}")
    assert detail["workflow"]["prompt"] == PROMPT
    assert detail["workflow"]["extra_data"] == flow
    assert detail["outputs"]["9"]["images"][0]["filename"] == "ComfyUI_00001_.png"
    assert detail["execution_status"]["completed"] is True
    shortest = await got(site, "/api/jobs?sort_by=execution_duration&sort_order=asc")
    assert shortest["jobs"][0]["id"] == held


@pytest.mark.parametrize("query", ["status=weird", "sort_by=x", "sort_order=up", "limit=-1"])
async def test_a_wrong_query_is_refused_in_the_editors_shape(site: Site, query: str) -> None:
    answer = await site.client.get(f"/api/jobs?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


async def test_jobs_are_cancelled_whatever_their_state(site: Site) -> None:
    running = await posted(site, HELD, client_id="c")
    await begun(site, running)
    waiting = await posted(site, PROMPT, client_id="c")
    for prompt_id in (waiting, running):
        answer = await site.client.post(f"/api/jobs/{prompt_id}/cancel")
        assert answer.json() == {"cancelled": True}
        assert (await got(site, f"/api/jobs/{prompt_id}"))["status"] == "cancelled"
    ids = [waiting, running, str(uuid.uuid4())]
    again = await site.client.post("/api/jobs/cancel", json={"job_ids": ids})
    assert again.json() == {"cancelled": False}
    wrong = await site.client.post("/api/jobs/cancel", json={"job_ids": [running, "x"]})
    assert (wrong.status_code, wrong.json()["invalid_ids"]) == (400, ["x"])
    assert (await site.client.post(f"/api/jobs/{uuid.uuid4()}/cancel")).status_code == 404


async def test_numbers_of_names_go_on_and_a_name_is_one_picture(open_site: OpenSite) -> None:
    routers: list[Site] = [await open_site(), await open_site()]
    named = [
        {"9": {"class_type": "SaveImage", "inputs": {}}, "prefix": prefix}
        for prefix in ("sub/pic", "sub/pic", "pic")
    ]
    # the small runner saves two pictures under a prefix
    seen = []
    for k, prompt in enumerate(named):
        site = routers[k % 2]
        how = Posted(face="comfyui", prompt_id=str(uuid.uuid4()))
        body = {"workflow": prompt, "extra_data": {}}
        record, _ = await site.service.post(Caller("local"), body, how)
        entry = await ended(site, str(record.prompt_id))
        seen += [(i["subfolder"], i["filename"]) for i in entry["outputs"]["9"]["images"]]
    names = [f"pic_0000{k}_.png" for k in (1, 2, 3, 4)]
    assert seen == [("sub", name) for name in names] + [("", name) for name in names[:2]]
    for subfolder, name in seen:
        query = {"filename": name, "subfolder": subfolder}
        assert (await routers[0].client.get("/view", params=query)).status_code == 200


async def test_a_picture_can_be_viewed_as_soon_as_it_is_saved(site: Site) -> None:
    prompt_id = await posted(site, {**PROMPT, "hold_after": NODE})
    await site.runner.saved.wait()
    (preview,) = [
        file.key.rpartition("/")[2]
        for file in site.service.stores.outputs.files.list("outputs/local/")
    ]
    assert (await site.client.get(f"/view?filename={preview}&type=temp")).status_code == 200
    await site.service.delete("local", await job_id_of(site, prompt_id))
    assert (await site.client.get(f"/view?filename={preview}&type=temp")).status_code == 404


async def test_a_prompt_id_is_taken_once(site: Site) -> None:
    mine = await posted(site, PROMPT)
    again = await site.client.post("/prompt", json={"prompt": PROMPT, "prompt_id": mine})
    assert again.status_code == 400
    assert again.json()["error"]["type"] == "invalid_prompt_id"


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ({}, "no_prompt"),
        ({"prompt": []}, "no_prompt"),
        ({"prompt": PROMPT, "prompt_id": "Not A UUID"}, "invalid_prompt_id"),
        ({"prompt": PROMPT, "prompt_id": 7}, "invalid_prompt_id"),
        ({"prompt": {"1": {"inputs": {}}}}, "missing_node_type"),
        ({"prompt": {"nodes": []}}, "missing_node_type"),
        ({"prompt": PROMPT, "client_id": "x" * 999}, "invalid_client_id"),
        ({"prompt": PROMPT, "number": "many"}, "invalid_number"),
        ({"prompt": PROMPT, "number": 1e300}, "invalid_number"),
    ],
)
async def test_what_is_no_prompt_is_refused(site: Site, body: Document, type_: str) -> None:
    answer = await site.client.post("/prompt", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == type_
    assert answer.json()["node_errors"] == {}
    assert set(answer.json()["error"]) == {"type", "message", "details", "extra_info"}


async def test_bodies_that_are_no_objects_change_nothing(site: Site) -> None:
    for url in ("/queue", "/history", "/interrupt"):
        for content in (b"", b"[]", b"rubbish {"):
            answer: httpx.Response = await site.client.post(url, content=content)
            assert answer.status_code == 200
