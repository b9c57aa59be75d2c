"""Fetch, events, cancel and the list of jobs."""

import base64
import gc
import json

import pytest

from api.jobs.run import JobRun
from api.jobs.service import Limits
from api.keys.access import Caller
from storage.jobs.records import QueueLimits
from tests.api.conftest import API, OpenSite, Site, unsigned

FAR = "cursor=" + base64.urlsafe_b64encode(b"1.0:99999999999999999999").decode()
NOWHERE = "cursor=" + base64.urlsafe_b64encode(b"nan:1").decode()


async def _ended(site: Site, **workflow: object) -> int:
    return int((await site.execute(workflow)).json()["id"])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_fetch_gives_the_answer_again(site: Site, method: str) -> None:
    answer = (await site.execute({}, track_id="t")).json()
    again = await site.client.request(method, f"{API}/fetch/{answer['id']}")
    assert unsigned(again.json()) == unsigned(answer)


@pytest.mark.parametrize("path", ["fetch", "events"])
@pytest.mark.parametrize("job_id", ["1", "9" * 30, "x", "-1", "٣"])
async def test_a_job_that_is_not_there_is_404(site: Site, path: str, job_id: str) -> None:
    response = await site.client.get(f"{API}/{path}/{job_id}")
    assert response.status_code == 404
    assert response.json()["status"] == "error"


@pytest.mark.parametrize("path", ["fetch", "cancel"])
async def test_another_owners_job_is_404(site: Site, path: str) -> None:
    theirs = await site.service.execute(Caller("somebody"), {"workflow": {}})
    response = await site.client.post(f"{API}/{path}/{theirs['id']}")
    assert response.status_code == 404


async def test_another_owners_running_job_is_404(site: Site) -> None:
    theirs = await site.service.execute(Caller("somebody"), {"workflow": {"hold": 1}, "wait": 0})
    assert (await site.client.get(f"{API}/fetch/{theirs['id']}")).status_code == 404


async def test_a_content_type_without_a_body_says_nothing(site: Site) -> None:
    path, headers = f"{API}/fetch/{await _ended(site)}", {"Content-Type": "application/json"}
    assert (await site.client.get(path, headers=headers)).json()["status"] == "success"


async def test_an_ended_job_is_answered_for_after_a_restart(open_site: OpenSite) -> None:
    first: Site = await open_site()
    answer = (await first.execute({})).json()
    second: Site = await open_site()
    assert unsigned(await second.fetch(answer["id"])) == unsigned(answer)


async def test_events_tell_the_whole_story_once(site: Site) -> None:
    events = await site.events(await _ended(site))
    assert [event["event"] for event in events] == [
        "queued",
        "node",
        "progress",
        "progress",
        *["output"] * 4,
        "success",
    ]
    assert [int(event["id"]) for event in events] == list(range(1, 10))
    assert json.loads(events[2]["data"]) == {"node": "3", "step": 1, "of": 2}


async def test_events_carry_outputs_and_the_answer(site: Site) -> None:
    answer = (await site.execute({})).json()
    events = await site.events(answer["id"])
    outputs = [json.loads(event["data"]) for event in events if event["event"] == "output"]
    urls = sorted(one["url"] for one in outputs)
    assert unsigned(urls) == unsigned(sorted(answer["output"]))
    assert unsigned(json.loads(events[-1]["data"])) == unsigned(answer)


async def test_events_resume_after_the_last_one_seen(site: Site) -> None:
    job_id = await _ended(site)
    events = await site.events(job_id, **{"Last-Event-ID": "7"})
    assert [event["id"] for event in events] == ["8", "9"]


async def test_nothing_comes_after_the_final_event(site: Site) -> None:
    response = await site.client.get(
        f"{API}/events/{await _ended(site)}", headers={"Last-Event-ID": "9"}
    )
    assert (response.status_code, response.content) == (204, b"")


async def test_events_come_while_the_job_runs(site: Site) -> None:
    job_id = await site.accepted({"hold": 1})
    seen = []
    async for event in site.service.following.events("local", job_id):
        assert event is not None
        seen.append(event.type)
        if event.type == "progress":
            site.runner.go.set()
    assert seen[-1] == "success"


async def test_events_outlive_a_restart_as_their_end(open_site: OpenSite) -> None:
    first: Site = await open_site()
    job_id = await _ended(first)
    second: Site = await open_site()
    (event,) = await second.events(job_id)
    assert (event["id"], event["event"]) == ("9", "success")
    assert (await second.events(job_id, **{"Last-Event-ID": "9"})) == []


async def test_a_silent_stream_gives_signs_of_life(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(beat_s=0.01))
    job_id = await site.accepted({"hold": 1})
    async for event in site.service.following.events("local", job_id, after=4):
        if event is None:
            site.runner.go.set()
    assert site.runner.go.is_set()


async def test_previews_come_on_request_and_only_the_newest_is_kept(site: Site) -> None:
    job_id = await _ended(site)
    text = (await site.client.get(f"{API}/events/{job_id}?preview=true")).text
    assert text.count("data:image/jpeg") == 1
    assert base64.b64encode(b"preview 2").decode() in text


async def test_previews_are_left_out_where_nobody_asks_for_them(site: Site) -> None:
    job_id = await _ended(site)
    steps = [event for event in await site.events(job_id) if event["event"] == "progress"]
    assert [json.loads(event["data"]) for event in steps] == [
        {"node": "3", "step": step, "of": 2} for step in (1, 2)
    ]


async def test_a_base64_answer_comes_with_urls_in_events(site: Site) -> None:
    job_id = (await site.execute({}, base64=True)).json()["id"]
    final = json.loads((await site.events(job_id))[-1]["data"])
    assert "/outputs/local/" in final["output"][0]


async def test_cancel_stops_a_running_job(site: Site) -> None:
    job_id = await site.accepted({"name": "x", "hold": 1})
    await site.runner.running.wait()
    answer = (await site.client.post(f"{API}/cancel/{job_id}")).json()
    assert (answer["status"], answer["errors"][0]["code"]) == ("failed", "cancelled")
    assert site.runner.cancelled == ["x"]
    assert (await site.events(job_id))[-1]["event"] == "cancelled"


async def test_cancel_takes_a_waiting_job_out_of_the_queue(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(running=1))
    first = await site.accepted({"name": "first", "hold": 1})
    waiting = await site.accepted({"name": "waiting"})
    await site.client.post(f"{API}/cancel/{waiting}")
    site.runner.go.set()
    await site.ended(first)
    assert site.runner.started == ["first"]


async def test_cancel_at_once_after_posting_still_ends_the_job(site: Site) -> None:
    job_id = await site.accepted({"hold": 1})
    answer = (await site.client.post(f"{API}/cancel/{job_id}")).json()
    assert answer["errors"][0]["code"] == "cancelled"


async def test_a_runner_that_makes_an_error_of_it_is_cancelled_all_the_same(site: Site) -> None:
    job_id = await site.accepted({"hold": 1, "stubborn": 1})
    await site.runner.running.wait()
    answer = (await site.client.post(f"{API}/cancel/{job_id}")).json()
    assert answer["errors"][0]["code"] == "cancelled"


async def test_a_cancellation_that_nobody_asked_for_is_a_fault(site: Site) -> None:
    answer = (await site.execute({"leak": 1})).json()
    assert (answer["status"], answer["errors"][0]["code"]) == ("failed", "internal")


async def test_cancel_is_idempotent(site: Site) -> None:
    job_id = await site.accepted({"hold": 1})
    first = (await site.client.post(f"{API}/cancel/{job_id}")).json()
    assert (await site.client.post(f"{API}/cancel/{job_id}")).json() == first


async def test_cancel_after_the_end_changes_nothing(site: Site) -> None:
    answer = (await site.execute({})).json()
    again = await site.client.post(f"{API}/cancel/{answer['id']}")
    assert unsigned(again.json()) == unsigned(answer)


async def test_a_cancelled_job_frees_its_place(open_site: OpenSite) -> None:
    site: Site = await open_site(Limits(running=1, queue=QueueLimits(queued=0)))
    job_id = await site.accepted({"hold": 1})
    await site.client.post(f"{API}/cancel/{job_id}")
    assert (await site.execute({})).json()["status"] == "success"


async def test_jobs_come_newest_first_and_in_pages(site: Site) -> None:
    ids = [await _ended(site) for _ in range(5)]
    seen: list[int] = []
    cursor = ""
    while cursor is not None:
        page = (await site.client.get(f"{API}/jobs?limit=2&cursor={cursor}")).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]


async def test_jobs_are_filtered_by_status(site: Site) -> None:
    await _ended(site)
    failed = await _ended(site, broken=1)
    jobs = (await site.client.get(f"{API}/jobs?status=failed")).json()["jobs"]
    assert [job["id"] for job in jobs] == [failed]
    assert jobs[0]["fetch_result"] == f"http://here:8000{API}/fetch/{failed}"


async def test_a_listed_job_has_its_outputs_and_why_it_failed(site: Site) -> None:
    answer = (await site.execute({}, base64=True)).json()
    failed = await _ended(site, broken=1)
    newest, oldest = (await site.client.get(f"{API}/jobs")).json()["jobs"]
    assert (newest["id"], newest["outputs"]) == (failed, [])
    assert newest["message"] == (await site.fetch(failed))["message"]
    assert [output["sha256"] for output in oldest["outputs"]] == [
        output["sha256"] for output in answer["outputs"]
    ]
    for output in oldest["outputs"]:
        assert (await site.client.get(output["url"])).content


async def test_one_job_is_as_the_list_has_it(site: Site) -> None:
    job_id = await _ended(site)
    (listed,) = (await site.client.get(f"{API}/jobs")).json()["jobs"]
    alone = (await site.client.get(f"{API}/jobs/{job_id}")).json()
    assert unsigned(alone) == unsigned(listed)
    theirs = await site.service.execute(Caller("somebody"), {"workflow": {}})
    for other in (theirs["id"], 7):
        assert (await site.client.get(f"{API}/jobs/{other}")).status_code == 404


async def test_jobs_of_others_are_not_listed(site: Site) -> None:
    await site.service.execute(Caller("somebody"), {"workflow": {}})
    assert (await site.client.get(f"{API}/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    "query", ["status=done", "limit=0", "limit=x", "cursor=x", "cursor=%F0", FAR, NOWHERE]
)
async def test_a_wrong_question_about_jobs_is_422(site: Site, query: str) -> None:
    response = await site.client.get(f"{API}/jobs?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["input"] == query.partition("=")[0]


@pytest.mark.parametrize("route", ["fetch", "cancel"])
async def test_fields_that_a_job_route_does_not_have_are_refused(site: Site, route: str) -> None:
    job_id = await site.accepted({"hold": 1})
    answer = await site.client.post(f"{API}/{route}/{job_id}", json={"keys": "x", "key": "k"})
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["code"], problem["input"], problem["suggestion"]) == (
        "unknown_field",
        "keys",
        "key",
    )
    assert (await site.fetch(job_id))["status"] == "processing"  # nothing was stopped
    for body in (b"", b"{}", b'{"key": "k"}'):
        kind = {"Content-Type": "application/json"} if body else {}
        url = f"{API}/{route}/{job_id}"
        assert (await site.client.post(url, content=body, headers=kind)).status_code == 200


async def test_of_an_ended_job_its_record_and_events_are_kept_alone(site: Site) -> None:
    job_id = await site.accepted({})
    await site.ended(job_id)
    events = await site.events(job_id)
    assert [event["event"] for event in events][-2:] == ["output", "success"]
    gc.collect()
    runs = [it for it in gc.get_objects() if type(it) is JobRun and it.record.id == job_id]
    assert runs == []  # with its body, its prompt and its plan
