"""/ws: who is told what, and what becomes of sockets."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from api.comfyui.client_socket import REPLACED, TOO_SLOW, SocketLimits
from api.jobs.event_hub import EventHub
from api.jobs.events import Begun, Ended, Happened, JobAddress, NodeStarted, Progressed
from api.jobs.service import Limits
from tests.api.comfyui.asgi_socket import connected
from tests.api.conftest import OpenSite, Site
from tests.api.keyed import keyed_site

JOB = JobAddress("local", 7, "p", "krita")


def _step(number: int, picture: bytes | None = None, job: JobAddress = JOB) -> Happened:
    return Happened(job, number, 1.0, Progressed("5", number, 9, picture))


@pytest.mark.parametrize("path", ["/ws", "/api/ws"])
async def test_the_first_message_is_the_status_and_features_are_answered(
    site: Site, path: str
) -> None:
    async with connected(site.app, f"{path}?clientId=krita") as socket:
        socket.declare()
        (features,) = await socket.until("feature_flags")
        socket.say("rubbish {")
        assert socket.kinds() == ["status", "feature_flags"]
        hello = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "krita"}
        assert socket.of("status") == [hello]
        assert features == (await site.client.get("/features")).json()
    async with connected(site.app, path) as socket:
        assert (await socket.until("status"))[0]["sid"]


async def test_a_prompts_client_alone_is_told_of_it(site: Site) -> None:
    async with AsyncExitStack() as stack:
        mine, other = [
            await stack.enter_async_context(connected(site.app, f"/ws?clientId={name}"))
            for name in ("krita", "other")
        ]
        for socket in (mine, other):
            socket.declare()
            await socket.until("feature_flags")
        site.service.board.announce(Happened(JOB, 1, 1.0, NodeStarted("5", "KSampler")))
        site.service.board.announce(_step(2, b"jpeg"))
        await mine.until("progress")
        told = ["progress_state", "executing", "progress_state", "binary", "progress"]
        assert mine.kinds() == ["status", "feature_flags", *told]
        assert other.kinds() == ["status", "feature_flags"]


@pytest.mark.parametrize("asked", [True, False])
async def test_a_client_that_declares_nothing_gets_previews_that_its_prompt_asked_for(
    site: Site, *, asked: bool
) -> None:
    async with connected(site.app, "/ws?clientId=krita") as socket:
        await socket.until("status")
        site.service.board.announce(Happened(JOB, 1, 1.0, Begun(previews_asked=asked)))
        site.service.board.announce(_step(2, b"jpeg"))
        await socket.until("progress")
        assert [frame[8:] for frame in socket.frames()] == ([b"jpeg"] if asked else [])


async def test_every_client_is_told_how_much_is_queued(site: Site) -> None:
    async with connected(site.app, "/ws?clientId=other") as socket:
        await socket.until("status")
        job_id = await site.accepted({"hold": 1})
        await socket.until("status", 2)
        site.runner.go.set()
        await site.ended(job_id)
        await socket.until("status", 3)
        counts = [one["status"]["exec_info"]["queue_remaining"] for one in socket.of("status")]
    assert counts == [0, 1, 0]


async def test_many_changes_are_told_together_but_to_the_jobs_own_client(site: Site) -> None:
    async with AsyncExitStack() as stack:
        mine, other = [
            await stack.enter_async_context(connected(site.app, f"/ws?clientId={name}"))
            for name in ("krita", "other")
        ]
        for socket in (mine, other):
            await socket.until("status")
        for number in range(50):
            job = JobAddress("local", number, "p", "krita")
            site.service.board.announce(Happened(job, 1, 1.0, Ended("cancelled")))
        await mine.until("status", 51)
        await other.until("status", 2)
        job_id = await site.accepted({"hold": 1})
        await other.until("status", 3)
        site.runner.go.set()
        await site.ended(job_id)
        await other.until("status", 4)
        counts = [one["status"]["exec_info"]["queue_remaining"] for one in other.of("status")]
    assert counts == [0, 0, 1, 0]


async def test_a_client_that_comes_back_hears_where_its_job_is(site: Site) -> None:
    log = site.service.board.open(JOB, 0)
    log.add(NodeStarted("5", "KSampler"))
    async with connected(site.app, "/ws?clientId=krita") as socket:
        (running,) = await socket.until("executing")
        assert socket.kinds() == ["status", "executing"]
        assert (running["node"], running["prompt_id"]) == ("5", "p")
        async with connected(site.app, "/ws?clientId=krita") as later:
            await socket.closed.wait()
            assert socket.code == REPLACED
            log.add(Progressed("5", 1, 9))
            await later.until("progress")
        assert "progress" not in socket.kinds()


async def test_a_socket_at_one_router_is_told_what_another_runs(open_site: OpenSite) -> None:
    hub = EventHub()
    here, there = await open_site(Limits(running=0), hub=hub), await open_site(hub=hub)
    log = there.service.board.open(JOB, 0)
    log.add(NodeStarted("5", "KSampler"))
    async with connected(here.app, "/ws?clientId=krita") as socket:
        await socket.until("executing")
        socket.declare()
        await socket.until("feature_flags")
        log.add(Progressed("5", 1, 9, b"jpeg"))
        await socket.until("progress")
        assert socket.kinds()[-3:] == ["progress_state", "binary", "progress"]


async def test_of_previews_a_slow_client_gets_the_newest(site: Site) -> None:
    async with connected(site.app, "/ws?clientId=krita") as socket:
        socket.declare()
        await socket.until("feature_flags")
        socket.reading.clear()
        for number in range(1, 200):
            site.service.board.announce(_step(number, b"p%d" % number))
            await asyncio.sleep(0)
        socket.reading.set()
        await socket.until("progress", 199)
        assert len(socket.frames()) <= 3
        assert socket.frames()[-1].endswith(b"p199")


async def test_a_client_that_does_not_read_is_closed(open_site: OpenSite) -> None:
    site = await open_site(sockets=SocketLimits(waiting=50, send_s=0.05))
    async with connected(site.app, "/ws?clientId=krita") as socket:
        await socket.until("status")
        socket.reading.clear()
        for number in range(1, 500):
            site.service.board.announce(_step(number))
            await asyncio.sleep(0)
        await socket.closed.wait()
        assert socket.code == TOO_SLOW


async def test_there_are_so_many_sockets_and_no_more(open_site: OpenSite) -> None:
    site = await open_site(sockets=SocketLimits(most_of_owner=2))
    async with AsyncExitStack() as stack:
        for k in range(2):
            url = f"/ws?clientId={k}"
            socket = await stack.enter_async_context(connected(site.app, url))
            await socket.until("status")
        async with connected(site.app, "/ws?clientId=2") as third:
            assert third.code == 1008


async def test_keys_are_asked_for_before_a_socket_is_accepted(site: Site) -> None:
    async with keyed_site(site) as keyed:
        key = await keyed.key("alice")
        for url, headers, fine in (
            ("/ws", {}, False),
            ("/ws?token=wrong", {}, False),
            (f"/ws?token={key}", {}, True),
            (f"/ws?key={key}", {}, True),
            ("/ws", {"Authorization": f"Bearer {key}"}, True),
            ("/ws", {"X-API-Key": key}, True),
            (f"/ws?token={key}", {"Origin": "https://evil.example"}, False),
        ):
            async with connected(keyed.app, url, headers) as socket:
                assert socket.opened.is_set() is fine


async def test_a_browser_that_logged_in_needs_no_key(site: Site) -> None:
    async with keyed_site(site) as keyed:
        browser = await keyed.client()
        await browser.get(f"/?key={await keyed.key('alice')}")
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        same = {"Cookie": cookie, "Origin": "http://here:8000"}
        async with connected(keyed.app, "/ws", same) as socket:
            await socket.until("status")


async def test_nothing_of_another_owner_is_told(site: Site) -> None:
    async with keyed_site(site) as keyed, AsyncExitStack() as stack:
        hers, his = [
            await stack.enter_async_context(
                connected(keyed.app, f"/ws?clientId=same&token={await keyed.key(owner)}")
            )
            for owner in ("alice", "bob")
        ]
        for socket in (hers, his):
            await socket.until("status")
        job = JobAddress("alice", 9, "p", "same")
        site.service.board.announce(_step(1, b"secret", job))
        await hers.until("progress")
        await asyncio.sleep(0)
        assert his.kinds() == ["status"]
        assert not his.closed.is_set()
