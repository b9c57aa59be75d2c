"""Running plans: order, concurrency, equal work once, cancellation, losses."""

import asyncio
import pickle
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from graph.cache import Handle, ResultCache, ResultLostError
from graph.errors import MissingModelFile, NodeFailed
from graph.events import StepEvent, Warned
from graph.execution import Execution, NodeTiming
from graph.folding import fold
from graph.plan import Segment
from graph.prompt import Source
from graph.segment_run import Report
from graph.stages import Stage
from tests.graph.nodes_for_tests import checked, node_types, picture
from tests.graph.run_here import run_here


@dataclass
class Recorder:
    """The stages of these tests: nodes give back what they were called with, as text."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    gate: Callable[[str], Any] | None = None  # awaited in every node, by its class

    async def record(self, name: str, *values: Any) -> Any:
        self.calls.append((name, *values))
        if self.gate:
            await self.gate(name)
        return f"{name}({', '.join(map(str, values))})"

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        return self

    async def call(self, function: Callable[[], Any]) -> Any:
        return function()

    def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        return run_here(segment, inputs, node_types(), self, len)

    def count(self) -> Counter[str]:
        return Counter(name for name, *_ in self.calls)


def cache() -> ResultCache:
    return ResultCache(10_000)


def job(
    stages: Any, results: ResultCache, document: dict[str, Any], owner: str = "local"
) -> Execution:
    return Execution(owner, fold(checked(document)), stages, results, lambda _: None)


async def test_the_picture_reaches_the_output_node() -> None:
    stages = Recorder()
    timings = await job(stages, cache(), picture()).run()
    (saved,) = [call for call in stages.calls if call[0] == "Save"]
    assert "Sample(a.safetensors, Text(a.safetensors, fox), Empty(32), heun)" in saved[1]
    assert {timing.node_id for timing in timings} == {"2", "3", "4", "5", "6"}


async def test_equal_work_is_done_once_for_one_owner() -> None:
    stages, results = Recorder(), cache()
    await job(stages, results, picture()).run()
    timings = await job(stages, results, picture()).run()
    assert stages.count() == {"Text": 1, "Empty": 1, "Sample": 1, "Decode": 1, "Save": 2}
    assert [t.node_id for t in timings if t.cached] == ["5"]


async def test_two_jobs_at_once_share_what_is_being_computed() -> None:
    stages, results = Recorder(gate=lambda _: asyncio.sleep(0)), cache()
    await asyncio.gather(*(job(stages, results, picture()).run() for _ in range(5)))
    assert stages.count() == {"Text": 1, "Empty": 1, "Sample": 1, "Decode": 1, "Save": 5}


async def test_owners_do_not_share_results() -> None:
    stages, results = Recorder(), cache()
    await job(stages, results, picture(), "ann").run()
    await job(stages, results, picture(), "bob").run()
    assert stages.count()["Sample"] == 2


async def test_independent_segments_run_at_the_same_time() -> None:
    document = picture()
    document["7"] = {"class_type": "Blur", "inputs": {"image": ["5", 0], "radius": 1.0}}
    document["8"] = {"class_type": "Save", "inputs": {"image": ["7", 0]}}
    document["9"] = {"class_type": "Blur", "inputs": {"image": ["5", 0], "radius": 2.0}}
    document["10"] = {"class_type": "Save", "inputs": {"image": ["9", 0]}}
    both = asyncio.Barrier(2)

    async def meet(name: str) -> None:
        if name == "Blur":
            await both.wait()

    async with asyncio.timeout(5):
        await job(Recorder(gate=meet), cache(), document).run()


async def test_cancelling_a_job_stops_its_segments_and_leaves_no_promise() -> None:
    entered = asyncio.Event()

    async def hang(name: str) -> None:
        if name == "Sample":
            entered.set()
            await asyncio.Event().wait()

    stages, results = Recorder(gate=hang), cache()
    running = asyncio.create_task(job(stages, results, picture()).run())
    await entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    stages.gate = None
    await job(stages, results, picture()).run()
    assert stages.count()["Save"] == 1


async def test_a_job_that_waited_for_a_cancelled_one_computes_for_itself() -> None:
    entered = asyncio.Event()

    async def hang_once(name: str) -> None:
        if name == "Sample" and not entered.is_set():
            entered.set()
            await asyncio.Event().wait()

    stages, results = Recorder(gate=hang_once), cache()
    first = asyncio.create_task(job(stages, results, picture()).run())
    await entered.wait()
    second = asyncio.create_task(job(stages, results, picture()).run())
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert stages.count()["Save"] == 1


async def test_an_error_of_a_node_is_the_error_of_the_job() -> None:
    async def fail(name: str) -> None:
        if name == "Decode":
            raise ZeroDivisionError("by nothing")

    with pytest.raises(NodeFailed) as caught:
        await job(Recorder(gate=fail), cache(), picture()).run()
    assert (caught.value.node_id, caught.value.class_type) == ("5", "Decode")


async def test_an_error_that_knows_no_node_is_told_with_the_node_that_met_it() -> None:
    gone = MissingModelFile("vae", "soft.safetensors")

    async def fail(name: str) -> None:
        if name == "Decode":
            raise gone

    with pytest.raises(MissingModelFile) as caught:
        await job(Recorder(gate=fail), cache(), picture()).run()
    arrived = pickle.loads(pickle.dumps(caught.value))
    assert str(arrived) == "Node 5 (Decode): Model file vae/soft.safetensors is not there."
    assert arrived.body()["node_id"] == "5"
    assert not gone.place  # another job may meet it at another node


async def test_a_lost_result_is_computed_again() -> None:
    lost = [True]

    async def lose_once(name: str) -> None:
        if name == "Save" and lost:
            lost.pop()
            raise ResultLostError

    stages = Recorder(gate=lose_once)
    await job(stages, cache(), picture()).run()
    assert stages.count() == {"Text": 1, "Empty": 1, "Sample": 1, "Decode": 2, "Save": 2}


async def test_a_result_that_stays_lost_fails_the_job() -> None:
    async def lose(name: str) -> None:
        if name == "Save":
            raise ResultLostError

    with pytest.raises(ResultLostError):
        await job(Recorder(gate=lose), cache(), picture()).run()


async def test_several_items_run_what_follows_once_for_each() -> None:
    document = picture()
    document["7"] = {"class_type": "Split", "inputs": {"image": ["5", 0]}}
    document["8"] = {"class_type": "Blur", "inputs": {"image": ["7", 0], "radius": 1.0}}
    document["9"] = {"class_type": "Save", "inputs": {"image": ["8", 0]}}
    stages = Recorder()
    await job(ItemsInProcess(stages), cache(), document).run()
    blurred = [call[1] for call in stages.calls if call[0] == "Blur"]
    assert [name[-2:] for name in blurred] == ["/1", "/2"]


async def test_timings_tell_when_each_node_ran() -> None:
    timings = await job(Recorder(), cache(), picture()).run()
    assert all(isinstance(t, NodeTiming) and 0 <= t.start_s <= t.end_s for t in timings)


@dataclass
class Warner(Recorder):
    """As Recorder, with something to say about every node."""

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        report(Warned(node_id, "a key fits nothing"))
        return self


async def test_a_warning_is_told_once_and_again_to_who_gets_the_result_from_the_cache() -> None:
    stages, results = Warner(), cache()
    for _ in range(2):
        told: list[Any] = []
        execution = job(stages, results, picture())
        await replace(execution, report=told.append).run()
        warnings = [event.text for event in told if isinstance(event, Warned)]
        assert warnings == ["a key fits nothing"]


@dataclass
class ItemsInProcess:
    """As Recorder, for outputs that have no length."""

    recorder: Recorder

    def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        return run_here(segment, inputs, node_types(), self.recorder)


async def test_an_output_that_is_saved_already_runs_nothing_and_all_is_told() -> None:
    stages, results = Recorder(), cache()
    told: list[Any] = []
    again = Execution(
        "local",
        fold(checked(picture())),
        stages,
        results,
        told.append,
        saved=frozenset({"6"}),
        tells_all=True,
    )
    timings = await again.run()
    assert stages.calls == []
    assert {timing.node_id for timing in timings} == {"2", "3", "4", "5", "6"}
    assert all(timing.cached for timing in timings)
    assert told == list(timings)
