"""Bodies that come too slowly, or not to their end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.app import create_app
from api.json_reading import BodyLimits
from api.slow_senders import BodyPace, SlowSenders
from tests.api.conftest import API, Site

Message = dict[str, Any]
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": f"{API}/execute",
    "raw_path": f"{API}/execute".encode(),
    "query_string": b"",
    "headers": [(b"content-type", b"application/json"), (b"host", b"here")],
    "server": ("127.0.0.1", 80),
    "client": ("127.0.0.1", 1),
}


async def answer_to(site: Site, messages: AsyncIterator[Message], pace: BodyPace) -> list[Message]:
    """What is sent to a client whose messages come like that."""
    app = create_app(site.service, body_limits=BodyLimits(10_000), pace=pace, manage_service=False)
    sent: list[Message] = []

    async def receive() -> Message:
        return await anext(messages)

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app({**SCOPE}, receive, send)
    return sent


async def part(body: bytes = b"", *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def stands_still() -> AsyncIterator[Message]:
    yield await part(b"{")
    await asyncio.Event().wait()


async def drips() -> AsyncIterator[Message]:
    while True:
        yield await part(b" ")
        await asyncio.sleep(0.01)


async def hangs_up() -> AsyncIterator[Message]:
    yield await part(b"{")
    yield {"type": "http.disconnect"}


@pytest.mark.parametrize("sender", [stands_still, drips])
async def test_a_slow_sender_is_cut_off(sender: Any, site: Site) -> None:
    sent = await answer_to(site, sender(), BodyPace(first_s=0.1, least_bytes_per_s=1000))
    assert sent[0]["status"] == 408
    assert b"body_too_slow" in sent[1]["body"]


async def test_each_byte_gives_more_time(site: Site) -> None:
    async def steady() -> AsyncIterator[Message]:
        for _ in range(5):
            yield await part(b" " * 100)
            await asyncio.sleep(0.02)
        yield await part(b"{}", more=False)

    sent = await answer_to(site, steady(), BodyPace(first_s=0.05, least_bytes_per_s=100))
    assert sent[0]["status"] == 422  # all of it was read: there is no workflow in it


async def test_who_hangs_up_is_no_fault_of_ours(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        sent = await answer_to(site, hangs_up(), BodyPace())
    assert [message.get("status") for message in sent][:1] == [400]
    assert not caplog.records


async def test_after_the_body_there_is_no_deadline() -> None:
    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        assert (await receive())["more_body"] is False
        assert (await receive())["type"] == "http.disconnect"

    async def messages() -> AsyncIterator[Message]:
        yield await part(more=False)
        await asyncio.sleep(0.05)
        yield {"type": "http.disconnect"}

    stream = messages()

    async def receive() -> Message:
        return await anext(stream)

    async def send(_message: Any) -> None:
        raise AssertionError

    await SlowSenders(app, BodyPace(first_s=0.01, least_bytes_per_s=1e9))({**SCOPE}, receive, send)
