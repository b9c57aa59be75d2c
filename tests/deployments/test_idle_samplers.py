"""How many replicas are thought idle, which says into how many parts a batch goes, and where to."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from deployments.app import sampler_replicas
from deployments.clients import DeploymentClient
from deployments.config import AppConfig, SamplerConfig
from graph.events import Started, StepEvent
from graph.plan import Segment, Step
from graph.sampling import Rows
from graph.stages import Stage

POOL = SamplerConfig(max_replicas=3)


def test_the_local_profile_has_one_sampler() -> None:
    assert sampler_replicas(AppConfig(sampler=POOL)) == {"": 1}


def test_in_a_cluster_the_pool_and_the_pinned_samplers_have_their_own_numbers() -> None:
    pinned = {"a.safetensors": SamplerConfig(max_replicas=2)}
    config = AppConfig(profile="cluster", sampler=POOL, pinned=pinned)
    assert sampler_replicas(config) == {"": 3, "a.safetensors": 2}


@dataclass
class Calls:
    """A handle, and the stream of every call: what was asked for, and of which base's replica."""

    asked: list[str] = field(default_factory=list)
    begin: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    base: str = ""

    def options(self, *, multiplexed_model_id: str = "", stream: bool = True) -> "Calls":
        return Calls(self.asked, self.begin, multiplexed_model_id)

    @property
    def run(self) -> Self:
        return self

    def remote(self, segment: Segment, inputs: Mapping[Any, Any]) -> "Stream":
        self.asked.append(f"{segment.steps[0].node_id} {self.base}".strip())
        return Stream(self.begin)


@dataclass
class Stream:
    """One event, once the replica begins."""

    begin: asyncio.Semaphore
    left: int = 1

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StepEvent:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        await self.begin.acquire()
        return Started("5")

    def cancel(self) -> None: ...


def segment(node_id: str, part_of: str = "") -> Segment:
    rows = Rows(0, 1, 2) if part_of else None
    step = Step(node_id, "KSampler", {}, {}, node_id, part_of=part_of, rows=rows)
    return Segment(Stage.SAMPLE, (step,), frozenset(), base="a.safetensors")


async def test_parts_are_placed_one_after_the_other_and_by_no_base() -> None:
    calls: Any = Calls()
    client = DeploymentClient(calls, by_base=True, replicas=2)

    async def run(one: Segment) -> list[StepEvent]:
        return [event async for event in client.run(one, {})]

    async with asyncio.TaskGroup() as group:
        parts = [group.create_task(run(segment(name, "5"))) for name in ("first", "second")]
        await asyncio.sleep(0)
        assert calls.asked == ["first"]
        calls.begin.release()
        await asyncio.wait(parts[:1])
        await asyncio.sleep(0)
        assert calls.asked == ["first", "second"]
        whole = group.create_task(run(segment("whole")))
        await asyncio.sleep(0)
        assert calls.asked == ["first", "second", "whole a.safetensors"]
        calls.begin.release()
        calls.begin.release()
    assert [await one for one in (*parts, whole)] == [[Started("5")]] * 3
    assert client.idle == 2
