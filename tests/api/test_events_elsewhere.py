"""Events of jobs that another replica runs, by way of a hub that may go away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from api.jobs.event_board import EventBoard
from api.jobs.event_hub import Delivery, EventHub
from api.jobs.events import Ended, Happened, JobAddress, JobEvent, Progressed
from api.jobs.hub_link import HubLink
from api.jobs.service import Limits
from api.jobs.wire_events import WireEvent
from tests.api.conftest import OpenSite, Site

QUICK = Limits(running=2, look_s=0.02, watch_s=0.02, lease_s=0.2)
CLIENT = Limits(running=0, look_s=0.02, watch_s=0.02)  # takes jobs on, and runs none
JOB = JobAddress("me", 7)


class HubAwayError(Exception):
    """As of a replica that died."""


class MortalHub:
    """A hub that can die, and come back with nothing."""

    def __init__(self) -> None:
        self._hub: EventHub | None = EventHub()
        self._died = asyncio.Event()
        self.any_published = asyncio.Event()

    def die(self) -> None:
        self._hub = None
        self._died.set()

    def come_back(self) -> None:
        self._hub, self._died = EventHub(), asyncio.Event()

    @property
    def alive(self) -> EventHub:
        if self._hub is None:
            raise HubAwayError
        return self._hub

    async def publish(self, replica: str, happened: Sequence[Happened]) -> None:
        await self.alive.publish(replica, happened)
        self.any_published.set()

    async def subscribe(self, replica: str, owners: Sequence[str]) -> AsyncIterator[Delivery]:
        died = asyncio.create_task(self._died.wait())
        stream = self.alive.subscribe(replica, owners)
        while True:
            coming = asyncio.ensure_future(anext(stream))
            await asyncio.wait([coming, died], return_when=asyncio.FIRST_COMPLETED)
            if died.done():
                coming.cancel()
                raise HubAwayError
            yield await coming

    async def follow(self, replica: str, owner: str) -> None:
        await self.alive.follow(replica, owner)

    async def leave(self, replica: str, owner: str) -> None:
        await self.alive.leave(replica, owner)


class Replica:
    """A board with a link to a hub."""

    def __init__(self, hub: MortalHub | EventHub, name: str) -> None:
        self.board = EventBoard(kept=2000)
        link = HubLink(hub, self.board, name)
        self.board.link = link
        self.tasks = [asyncio.create_task(work) for work in (link.publish(), link.listen())]
        self.heard: list[tuple[int, bool]] = []
        self.events: list[JobEvent] = []
        self.any = asyncio.Event()

    def hear(self, happened: Happened, *, live: bool) -> None:
        self.heard.append((happened.id, live))
        self.events.append(happened.event)
        self.any.set()

    async def until_heard(self, last_id: int) -> None:
        async with asyncio.timeout(20):
            while last_id not in [number for number, _ in self.heard]:
                self.any.clear()
                await self.any.wait()


@pytest.fixture
async def hub() -> MortalHub:
    return MortalHub()


def _step(number: int, picture: bytes | None = None) -> Progressed:
    return Progressed("3", number, 99, picture)


async def _seen(site: Site, job_id: int, **more: Any) -> list[WireEvent]:
    stream = site.service.following.events("local", job_id, **more)
    return [event async for event in stream if event is not None]


async def test_a_job_is_followed_from_a_replica_that_does_not_run_it(open_site: OpenSite) -> None:
    hub = EventHub()
    client = await open_site(CLIENT, hub=hub)
    worker = await open_site(QUICK, hub=hub)
    job_id = await client.accepted({"hold": 1})
    following = asyncio.create_task(_seen(client, job_id))
    await worker.runner.running.wait()
    worker.runner.go.set()
    elsewhere, here = await following, await _seen(worker, job_id)
    without_place = [event for event in elsewhere if event.type != "queued"]
    assert [event.type for event in without_place] == [event.type for event in here[1:]]
    assert [event.id for event in without_place] == [event.id for event in here[1:]]
    assert "preview" in [event for event in elsewhere if event.type == "progress"][-1].data
    again = await _seen(client, job_id, after=without_place[-2].id)
    assert [event.type for event in again] == ["success"]


async def test_a_job_goes_on_elsewhere_with_rising_ids(open_site: OpenSite) -> None:
    hub = EventHub()
    client = await open_site(CLIENT, hub=hub)
    first = await open_site(QUICK, hub=hub)
    job_id = await client.accepted({"hold": 1})
    await first.runner.running.wait()
    following = asyncio.create_task(_seen(client, job_id))
    await asyncio.sleep(0)
    await first.service.close()  # it gives the job back, as when its lease runs out
    second = await open_site(QUICK, hub=hub)
    second.runner.go.set()
    events = [event for event in await following if event.type != "queued"]
    assert [event.type for event in events].count("node") == 2
    assert events[-1].type == "success"
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))


async def test_what_was_kept_comes_first_and_is_not_live(hub: MortalHub) -> None:
    runs, follows = Replica(hub, "a"), Replica(hub, "b")
    log = runs.board.open(JOB, 0)
    log.add(_step(1))
    async with asyncio.timeout(20):
        await hub.any_published.wait()
    async with follows.board.following("me", follows.hear):
        assert follows.heard == [(1, False)]
        log.add(_step(2))
        await follows.until_heard(2)
    assert follows.heard[-1] == (2, True)
    log.add(_step(3))
    async with follows.board.following("me", follows.hear):
        await follows.until_heard(3)


async def test_nothing_of_another_owner_is_delivered(hub: MortalHub) -> None:
    runs, follows = Replica(hub, "a"), Replica(hub, "b")
    hers = runs.board.open(JobAddress("alice", 1), 0)
    his = runs.board.open(JobAddress("bob", 2), 100)
    async with follows.board.following("bob", follows.hear):
        for step in range(5):
            hers.add(_step(step))
            his.add(_step(step))
        await follows.until_heard(105)
    assert [number for number, _ in follows.heard] == [101, 102, 103, 104, 105]
    assert not follows.board.log_of_other(hers.job).events


async def test_a_hub_that_dies_loses_nothing(hub: MortalHub) -> None:
    runs, follows = Replica(hub, "a"), Replica(hub, "b")
    log = runs.board.open(JOB, 0)
    async with follows.board.following("me", follows.hear):
        log.add(_step(1))
        await follows.until_heard(1)
        hub.die()
        log.add(_step(2))
        await asyncio.sleep(0)
        log.add(_step(3))
        hub.come_back()
        log.add(_step(4))
        await follows.until_heard(4)
    assert [number for number, _ in follows.heard] == [1, 2, 3, 4]
    assert all(live for _, live in follows.heard)


async def test_an_end_that_was_told_while_the_hub_was_away_arrives(hub: MortalHub) -> None:
    runs, follows = Replica(hub, "a"), Replica(hub, "b")
    async with follows.board.following("me", follows.hear):
        hub.die()
        runs.board.announce(Happened(JOB, 2, 0.0, Ended("cancelled")))
        await asyncio.sleep(0)
        hub.come_back()
        await follows.until_heard(2)
    assert follows.events == [Ended("cancelled")]


async def test_a_slow_replica_gets_the_newest_preview_alone() -> None:
    hub = EventHub()
    slow = hub.subscribe("slow", ["me"])
    await anext(slow)
    steps = [Happened(JOB, k, 0.0, _step(k, b"p%d" % k)) for k in range(1, 1000)]
    for step in steps:
        await hub.publish("fast", [step])
    delivery = await anext(slow)
    assert [it.id for it in delivery.happened] == [step.id for step in steps]
    assert [it.preview for it in delivery.happened if it.preview] == [b"p999"]


async def test_a_replica_that_is_much_too_slow_comes_anew() -> None:
    hub = EventHub()
    slow = hub.subscribe("slow", ["me"])
    await anext(slow)
    for job_id in range(30):
        steps = [Happened(JobAddress("me", job_id), k, 0.0, _step(k)) for k in range(1000)]
        await hub.publish("fast", steps)
    assert [delivery async for delivery in slow] == []
    anew = hub.subscribe("slow", ["me"])
    await anext(anew)
    assert (await anext(anew)).complete == ("me",)


async def test_the_hub_keeps_so_much_and_no_more() -> None:
    hub = EventHub()
    for job_id in range(2000):
        address = JobAddress("me", job_id)
        await hub.publish("a", [Happened(address, 1, 0.0, _step(1, bytes(200_000)))])
    reader = hub.subscribe("b", ["me"])
    await anext(reader)
    kept = (await anext(reader)).happened
    assert kept[-1].job.id == 1999
    assert sum(it.nbytes for it in kept) < 128 * 2**20


async def test_the_hub_keeps_of_an_ended_job_its_end_alone() -> None:
    hub = EventHub()
    steps = [Happened(JOB, k, 0.0, _step(k)) for k in range(50)]
    await hub.publish("a", [*steps, Happened(JOB, 50, 0.0, Ended("success"))])
    reader = hub.subscribe("b", ["me"])
    await anext(reader)
    assert [it.id for it in (await anext(reader)).happened] == [50]
