"""What the Python client asks for and makes of the answers, without a network or a clock."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from comfyray import AsyncClient, Client, Job, JobFailedError, RequestError, UnreachableError, flows
from comfyray.webhooks import verify_webhook
from standardwebhooks import Webhook, WebhookVerificationError

WORKFLOW = {"1": {"class_type": "EmptyImage", "inputs": {}}}
OUTPUT = {"node_id": "9", "type": "image", "filename": "x.png", "mime_type": "image/png"}
BUCKET = "https://bucket.test/x.png?signature=abc"


def success(**fields: Any) -> dict[str, Any]:
    return {"status": "success", "id": 7, "output": [], "outputs": [], **fields}


def driven(flow: flows.Flow[Any], answers: Sequence[httpx.Response | Exception]) -> list[Any]:
    """The calls and pauses of a flow that gets these answers, and what it returns at the end."""
    steps: list[Any] = []
    left = list(answers)
    try:
        step = next(flow)
        while True:
            steps.append(step)
            if isinstance(step, flows.Pause):
                step = next(flow)
            elif isinstance(answer := left.pop(0), httpx.Response):
                step = flow.send(answer)
            else:
                step = flow.throw(answer)
    except StopIteration as end:
        return [*steps, end.value]


def served(answers: Sequence[httpx.Response], seen: list[httpx.Request]) -> httpx.MockTransport:
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return left.pop(0)

    return httpx.MockTransport(answer)


def test_a_busy_service_is_asked_again_for_the_same_job() -> None:
    busy = httpx.Response(503, headers={"Retry-After": "3"}, json={"message": "full"})
    flow = flows.submit(WORKFLOW, {}, {})
    first, pause, second, job = driven(flow, [busy, httpx.Response(200, json=success())])
    assert pause.seconds == 3
    assert first == second
    assert first.options["headers"]["Idempotency-Key"]
    assert job.id == 7


def test_a_service_that_stays_away_is_given_up() -> None:
    away = [httpx.ConnectError("refused")] * flows.TRIES
    with pytest.raises(UnreachableError, match="refused"):
        driven(flows.fetch(7), away)


def test_a_refused_request_is_not_sent_again() -> None:
    problem = {"code": "value_not_in_list", "node_id": "3", "input": "sampler_name"}
    wrong = httpx.Response(422, json={"message": "Node 3 ...", "errors": [problem]})
    with pytest.raises(RequestError, match="Node 3") as caught:
        driven(flows.submit(WORKFLOW, {}, {}), [wrong])
    assert (caught.value.status, caught.value.errors) == (422, [problem])


def test_a_job_is_fetched_until_it_has_ended() -> None:
    processing = Job.of({"status": "processing", "id": 7, "eta": 4})
    answers = [httpx.Response(200, json=answer) for answer in (dict(processing.answer), success())]
    steps = driven(flows.wait(processing), answers)
    paths = [step.path for step in steps if isinstance(step, flows.Call)]
    assert paths == ["api/v7/comfyui/fetch/7"] * 2
    assert [step.seconds for step in steps if isinstance(step, flows.Pause)] == [1.0, 1.0]


def test_files_among_the_inputs_are_sent_first(tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    picture.write_bytes(b"a picture")
    stored = httpx.Response(200, json={"name": "photo (1).png", "subfolder": "of me"})
    flow = flows.submit(WORKFLOW, {"10.image": picture, "6": {"text": "a boat"}}, {})
    upload, execute, _ = driven(flow, [stored, httpx.Response(200, json=success())])
    assert upload.options["files"]["image"] == ("photo.png", b"a picture", "image/png")
    assert execute.options["json"]["inputs"] == {
        "10.image": "of me/photo (1).png",
        "6": {"text": "a boat"},
    }


def test_a_failed_job_says_what_the_service_said() -> None:
    failed = {"status": "failed", "id": 7, "message": "Node 3 failed", "errors": []}
    with pytest.raises(JobFailedError, match="job 7: Node 3 failed"):
        driven(flows.result(Job.of(failed)), [])


def test_the_key_stays_with_the_service(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []
    answer = httpx.Response(200, json=success(outputs=[{**OUTPUT, "url": BUCKET}]))
    transport = served([answer, httpx.Response(200, content=b"bytes")], seen)
    with Client("http://service.test/", "secret", transport=transport) as client:
        (output,) = client.run(WORKFLOW).pictures
    assert [request.headers.get("Authorization") for request in seen] == ["Bearer secret", None]
    assert output.save(tmp_path).read_bytes() == b"bytes"


def test_a_file_name_of_the_service_stays_in_the_folder(tmp_path: Path) -> None:
    answer = success(outputs=[{**OUTPUT, "filename": "../../x.png", "url": BUCKET}])
    steps = driven(flows.result(Job.of(answer)), [httpx.Response(200, content=b"bytes")])
    assert steps[-1].outputs[0].save(tmp_path / "out") == tmp_path / "out" / "x.png"


async def test_events_go_on_after_the_last_one_when_the_stream_was_cut() -> None:
    def stream(text: str) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=text)

    seen: list[httpx.Request] = []
    answers = [
        stream('id: 1\nevent: queued\ndata: {"queue_position": 0}\n\n'),
        httpx.Response(200, json={"status": "processing", "id": 7}),
        stream('id: 2\nevent: success\ndata: {"id": 7}\n\n'),
    ]
    async with AsyncClient("http://service.test", transport=served(answers, seen)) as client:
        assert [event.type async for event in client.events(7)] == ["queued", "success"]
    assert seen[-1].headers["Last-Event-ID"] == "1"


def test_a_webhook_of_the_service_is_told_from_others() -> None:
    secret = "whsec_" + "c2VjcmV0IG9mIHRlc3RzLCBsb25nIGVub3VnaA=="
    body, now = json.dumps(success()), datetime.now(UTC)
    signature = Webhook(secret).sign("event-1", now, body)
    headers = {
        "Webhook-Id": "event-1",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": signature,
    }
    assert verify_webhook(body, headers, secret)["id"] == 7
    with pytest.raises(WebhookVerificationError):
        verify_webhook(body + " ", headers, secret)
