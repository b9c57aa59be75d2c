"""Bodies wait with their sender, not in the proxy and the replica, until they are read."""

import asyncio
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ray.serve._private import http_util, proxy, replica
from ray.serve._private.common import RequestMetadata

from deployments.paced_bodies import AHEAD_BYTES, PacedQueue, PacedReceive

PART = 64 * 1024
PARTS = 100
TURNS = 2_000  # of the event loop, in which all that can happen has happened
METADATA = RequestMetadata(request_id="one", internal_request_id="one")


class Passage:
    """A request on its way, without the processes in between."""

    def __init__(self) -> None:
        self.queue = PacedQueue()
        self.receive = PacedReceive({"type": "http"}, METADATA, self._fetch)
        self.sent_bytes = 0

    async def send(self, parts: int) -> None:
        for k in range(parts):
            body = bytes([k]) * PART
            self.sent_bytes += PART
            await self.queue({"type": "http.request", "body": body, "more_body": k < parts - 1})
        await self.queue({"type": "http.disconnect"})

    async def _fetch(self, _: Any) -> bytes:
        await self.queue.wait_for_message()  # type: ignore[no-untyped-call]
        return pickle.dumps(self.queue.get_messages_nowait())


@asynccontextmanager
async def passage(parts: int) -> AsyncIterator[Passage]:
    way = Passage()
    tasks = [
        asyncio.create_task(way.send(parts)),
        asyncio.create_task(way.receive.fetch_until_disconnect()),  # type: ignore[no-untyped-call]
    ]
    yield way
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_a_body_that_nobody_reads_is_not_taken_in() -> None:
    async with passage(PARTS) as way:
        await _turns()
        assert 0 < way.sent_bytes <= 2 * (AHEAD_BYTES + 2 * PART) < PARTS * PART
        before = way.sent_bytes
        await way.receive()
        await _turns()
        assert way.sent_bytes - before <= 2 * (AHEAD_BYTES + 2 * PART)


async def test_a_body_that_is_read_comes_whole_and_in_order() -> None:
    read = b""
    async with passage(PARTS) as way, asyncio.timeout(30):
        while (message := await way.receive())["type"] == "http.request":
            read += message["body"]
    assert read == b"".join(bytes([k]) * PART for k in range(PARTS))


async def test_a_client_that_hangs_up_is_seen_by_who_has_read_all() -> None:
    async with passage(1) as way, asyncio.timeout(30):
        assert (await way.receive())["more_body"] is False
        assert (await way.receive())["type"] == "http.disconnect"
        assert (await way.receive())["type"] == "http.disconnect"


def test_serve_still_has_what_is_replaced() -> None:
    assert proxy.MessageQueue is http_util.MessageQueue  # type: ignore[attr-defined]
    assert replica.ASGIReceiveProxy is http_util.ASGIReceiveProxy  # type: ignore[attr-defined]
