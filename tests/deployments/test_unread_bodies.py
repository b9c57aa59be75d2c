"""Whoever is answered before its body has come hears so, and cannot go on sending for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import uvicorn

from api.slow_senders import Message, Receive, Send
from deployments.unread_bodies import UnreadBodies

MOST_S = 0.5


async def refuse(scope: Message, receive: Receive, send: Send) -> None:
    """Answers when all of a body has come, the beginning, or none."""
    read = b""
    while scope["path"] == "/whole" and (part := await receive())["more_body"]:
        read += part["body"]
    if scope["path"] == "/head":
        await receive()
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": b"no", "more_body": False})


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    app = UnreadBodies(refuse, most_s=MOST_S)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    going = asyncio.create_task(server.serve([listening]))
    yield listening.getsockname()[1]
    server.should_exit = True
    await going


async def _send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def test_a_sender_that_goes_on_is_hung_up_on() -> None:
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /head HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(ConnectionError):
            await _send_for_ever(writer)
        with suppress(ConnectionError):  # where the system kept what had come
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 401")
            assert b"connection: close" in answer
        writer.close()


@pytest.mark.parametrize("path", ["/head", "/none"])
async def test_a_client_that_sends_all_before_it_reads_hears_the_answer(path: str) -> None:
    async with served() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"x" * 3_000_000
        writer.write(
            b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" % path.encode()
        )
        writer.write(body)
        await writer.drain()
        assert (await reader.read()).startswith(b"HTTP/1.1 401")
        writer.close()


async def test_a_connection_whose_bodies_are_read_stays_open() -> None:
    async with served() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(2):
            for content in (b"", b"x" * 1_000_000):
                answer = await client.post("/whole", content=content)
                assert answer.status_code == 401
                assert "connection" not in answer.headers
