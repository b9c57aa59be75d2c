"""Waiting for a job: its events, deadlines, and what an interruption leaves behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from comfyray import AsyncClient, Client, Event
from comfyray.cli import INTERRUPTED, main

WORKFLOW = {"1": {"class_type": "EmptyImage", "inputs": {}}}
PROCESSING = {"status": "processing", "id": 7, "eta": 1}


def sse(type_: str, **data: Any) -> bytes:
    return f"id: 1\nevent: {type_}\ndata: {json.dumps(data)}\n\n".encode()


class Silent(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream of one event, then nothing until the reader's patience ends."""

    def __iter__(self) -> Iterator[bytes]:
        yield sse("queued", queue_position=1)
        raise httpx.ReadTimeout("nothing came")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield sse("queued", queue_position=1)
        await asyncio.Event().wait()


def service(seen: list[str]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path.removeprefix('/api/v7/comfyui')}")
        if "/events/" in request.url.path:
            headers = {"content-type": "text/event-stream"}
            return httpx.Response(200, headers=headers, stream=Silent())
        return httpx.Response(200, json=PROCESSING)

    return httpx.MockTransport(answer)


def test_a_deadline_holds_with_events_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with (
        Client("http://service.test", transport=service(seen)) as client,
        pytest.raises(TimeoutError, match="job 7"),
    ):
        client.run(WORKFLOW, timeout_s=0.05, on_event=lambda _: None)
    assert "POST /cancel/7" not in seen  # it goes on


def test_ctrl_c_cancels_the_job() -> None:
    seen: list[str] = []

    def interrupt(_: Event) -> None:
        raise KeyboardInterrupt

    with (
        Client("http://service.test", transport=service(seen)) as client,
        pytest.raises(KeyboardInterrupt),
    ):
        client.run(WORKFLOW, on_event=interrupt)
    assert seen[-1] == "POST /cancel/7"


async def test_a_cancelled_task_cancels_its_job() -> None:
    seen: list[str] = []
    began = asyncio.Event()
    async with AsyncClient("http://service.test", transport=service(seen)) as client:
        task = asyncio.create_task(client.run(WORKFLOW, on_event=lambda _: began.set()))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen[-1] == "POST /cancel/7"


def test_a_bare_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "run" in capsys.readouterr().out


def test_a_service_that_is_not_there_is_told_with_its_url_and_advice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert main(["--url", "http://127.0.0.1:9", "jobs"]) == 1
    said = capsys.readouterr().err
    assert "http://127.0.0.1:9 does not answer" in said
    assert "make run" in said
    assert INTERRUPTED == 130
