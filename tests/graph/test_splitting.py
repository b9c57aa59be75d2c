"""Large batches in parts: the plan's shape, what is told of them, what is kept of them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from graph.cache import Handle, ResultCache, ResultLostError
from graph.errors import NodeFailed
from graph.events import Progress, Started, StepEvent
from graph.execution import Execution, NodeTiming
from graph.folding import fold
from graph.plan import ExecutionGraph, Plan, Segment, make_plan
from graph.prompt import Source
from graph.sampling import Rows
from graph.segment_run import Report
from graph.splitting import rows_of, split_batches
from graph.stages import Stage
from tests.graph.nodes_for_tests import batch, checked, guided_batch, node_types, picture
from tests.graph.run_here import run_here

PROMPT = "Text(a.safetensors, fox)"


def split(
    document: dict[str, Any], ways: int = 2, known: frozenset[str] = frozenset()
) -> ExecutionGraph:
    return split_batches(fold(checked(document)), node_types(), lambda _: ways, known.__contains__)


def sampled_again() -> dict[str, Any]:
    """A batch of three, with a second sampler between the first and the pictures."""
    document = batch(3)
    document["7"] = {**document["4"], "inputs": {**document["4"]["inputs"], "latent": ["4", 0]}}
    document["5"]["inputs"]["latent"] = ["7", 0]
    return document


def shape(plan: Plan) -> list[tuple[Stage, set[str]]]:
    return [(s.stage, {step.node_id for step in s.steps}) for s in plan.segments]


def plan_of(folded: ExecutionGraph) -> Plan:
    return make_plan(folded, lambda _: False)


@dataclass
class Replicas:
    """Stages that run every part as two steps; nodes give back their calls as text."""

    calls: list[tuple[str, ...]] = field(default_factory=list)
    gate: Any = None  # awaited in every node, by its class and the part it does

    async def record(self, name: str, *values: Any) -> Any:
        self.calls.append((name, *map(str, values)))
        if self.gate:
            await self.gate(name, str(values[-1]))
        return f"{name}({', '.join(map(str, values))})"

    def join_rows(self, parts: list[str]) -> str:
        return " + ".join(parts)

    def for_node(self, stage: Stage, node_id: str, report: Report) -> object:
        report(Progress(node_id, 1, 2))
        report(Progress(node_id, 2, 2))
        return self

    async def call(self, function: Any) -> Any:
        return function()

    def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        return run_here(segment, inputs, node_types(), self, len)

    def named(self, name: str) -> list[tuple[str, ...]]:
        return [call for call in self.calls if call[0] == name]


@dataclass
class Runs:
    """One owner's jobs over one cache, and what the last one told."""

    stages: Replicas = field(default_factory=Replicas)
    cache: ResultCache = field(default_factory=lambda: ResultCache(10_000))
    told: list[Any] = field(default_factory=list)

    async def run(self, document: dict[str, Any], ways: int = 2) -> tuple[NodeTiming, ...]:
        self.told.clear()
        known = frozenset(
            step.key
            for step in fold(checked(document)).steps.values()
            if ("local", step.key) in self.cache
        )
        folded = split(document, ways, known)
        return await Execution("local", folded, self.stages, self.cache, self.told.append).run()

    def progress(self, node_id: str) -> list[float]:
        steps = [event for event in self.told if isinstance(event, Progress)]
        return [event.step for event in steps if event.node_id == node_id]


def test_each_part_is_sampled_and_decoded_in_a_segment_of_its_own() -> None:
    assert shape(plan_of(split(batch(3)))) == [
        (Stage.SAMPLE, {"3"}),
        (Stage.ENCODE, {"2"}),
        (Stage.SAMPLE, {"4 rows 0:1", "5 rows 0:1"}),
        (Stage.SAMPLE, {"4 rows 1:3", "5 rows 1:3"}),
        (Stage.SAMPLE, {"4"}),
        (Stage.SAMPLE, {"5"}),
        (Stage.OUTPUT, {"6"}),
    ]


def test_a_sampler_whose_guider_names_the_model_is_shared_too() -> None:
    asked: list[str] = []

    def ways(base: str) -> int:
        asked.append(base)
        return 2

    folded = split_batches(fold(checked(guided_batch(3))), node_types(), ways, lambda _: False)
    assert asked == ["a.safetensors"]
    assert {
        segment.base for segment in plan_of(folded).segments if segment.stage == Stage.SAMPLE
    } == {"a.safetensors"}
    assert {name for name, step in folded.steps.items() if step.part_of} == {
        f"{node} rows {rows}" for node in "45" for rows in ("0:1", "1:3")
    }


async def test_every_output_of_a_shared_sampler_is_joined() -> None:
    runs = Runs()
    document = guided_batch(3)
    document["9"] = {"class_type": "Decode", "inputs": {"latent": ["4", 0]}}
    document["6"]["inputs"]["image"] = ["9", 0]
    await runs.run(document)
    ((_, saved),) = runs.stages.named("Save")
    guided = f"Guide(a.safetensors, {PROMPT})"
    parts = [f"Decode(SampleGuided({guided}, EmptyBatch(3), {rows}))" for rows in ("0:1", "1:3")]
    assert saved == " + ".join(parts)
    await runs.run(guided_batch(3))  # samples nothing anew
    assert runs.stages.named("Save")[-1] == ("Save", "Decode(denoised 0:1 + denoised 1:3)")


@pytest.mark.parametrize(
    ("document", "ways"),
    [
        (batch(3), 1),
        (batch(3), 0),
        (batch(1), 4),
        (batch(3, sampler_name="dpm_adaptive"), 4),
        (picture(), 4),
    ],
)
def test_what_cannot_be_shared_stays_as_it_is(document: dict[str, Any], ways: int) -> None:
    whole = fold(checked(document))
    assert split_batches(whole, node_types(), lambda _: ways, lambda _: False) is whole


def test_a_latent_that_was_sampled_before_is_not_split() -> None:
    folded = split(sampled_again())
    parts = {name for name, step in folded.steps.items() if step.part_of}
    assert parts == {"4 rows 0:1", "4 rows 1:3"}
    assert shape(plan_of(folded))[-2] == (Stage.SAMPLE, {"4", "7", "5"})


def test_a_known_result_is_not_taken_apart() -> None:
    key = fold(checked(batch(3))).steps["4"].key
    steps = split(batch(3), known=frozenset({key})).steps
    assert not any(step.part_of for step in steps.values())


def test_the_joined_steps_keep_their_ids_and_keys() -> None:
    whole, parts = fold(checked(batch(3))).steps, split(batch(3)).steps
    assert {name: parts[name].key for name in whole} == {n: s.key for n, s in whole.items()}
    assert len({step.key for step in parts.values()}) == len(parts)


def test_a_known_joined_result_ends_the_plan() -> None:
    folded = split(batch(3))
    plan = make_plan(folded, frozenset({folded.steps["5"].key}).__contains__)
    assert shape(plan) == [(Stage.OUTPUT, {"6"})]


@pytest.mark.parametrize(("size", "ways", "lengths"), [(7, 3, [2, 2, 3]), (2, 5, [1, 1])])
def test_parts_are_even_and_never_empty(size: int, ways: int, lengths: list[int]) -> None:
    rows = rows_of(size, ways)
    assert [part.stop - part.start for part in rows] == lengths
    assert (rows[0].start, rows[-1].stop) == (0, size)
    assert {part.of for part in rows} == {size}
    assert rows_of(size, 0) == (Rows(0, size, size),)


async def test_the_joined_picture_reaches_the_output_node() -> None:
    runs = Runs()
    await runs.run(batch(3))
    parts = [f"Decode(SampleBatch({PROMPT}, EmptyBatch(3), {rows}))" for rows in ("0:1", "1:3")]
    assert runs.stages.named("Save") == [("Save", " + ".join(parts))]


async def test_parts_run_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    async def meet(name: str, _part: str) -> None:
        if name == "SampleBatch":
            await both.wait()

    async with asyncio.timeout(5):
        await Runs(Replicas(gate=meet)).run(batch(4))


async def test_a_split_node_is_told_of_as_one() -> None:
    runs = Runs()
    timings = await runs.run(batch(3))
    assert sorted(timing.node_id for timing in timings) == ["2", "3", "4", "5", "6"]
    started = [event.node_id for event in runs.told if isinstance(event, Started)]
    assert sorted(started) == ["2", "3", "4", "5", "6"]
    assert {timing.class_type for timing in timings if timing.node_id == "4"} == {"SampleBatch"}


async def test_progress_is_that_of_the_slowest_part() -> None:
    runs = Runs()
    await runs.run(batch(3))
    assert runs.progress("4") == [1, 2]


async def test_what_was_computed_in_parts_is_known_as_a_whole() -> None:
    runs = Runs()
    await runs.run(batch(3))
    timings = await runs.run(batch(3), ways=3)
    assert len(runs.stages.named("SampleBatch")) == 2
    assert [timing.node_id for timing in timings if timing.cached] == ["5"]
    timings = await runs.run(sampled_again(), ways=3)
    assert len(runs.stages.named("SampleBatch")) == 3
    assert [timing.node_id for timing in timings if timing.cached] == ["2", "4"]


async def test_an_error_of_a_part_is_the_error_of_its_node() -> None:
    async def fail(name: str, part: str) -> None:
        if name == "SampleBatch" and part == "1:3":
            raise ZeroDivisionError("by nothing")

    with pytest.raises(NodeFailed) as caught:
        await Runs(Replicas(gate=fail)).run(batch(3))
    assert (caught.value.node_id, caught.value.class_type) == ("4", "SampleBatch")


async def test_a_lost_part_is_computed_again() -> None:
    lost = [True]

    async def lose_once(name: str, part: str) -> None:
        if name == "SampleBatch" and part == "1:3" and lost:
            lost.pop()
            raise ResultLostError

    runs = Runs(Replicas(gate=lose_once))
    timings = await runs.run(batch(3))
    assert len(runs.stages.named("Save")) == 1
    assert {timing.node_id for timing in timings} == {"2", "3", "4", "5", "6"}


async def test_cancelling_stops_every_part_and_leaves_no_promise() -> None:
    entered = asyncio.Barrier(3)

    async def hang(name: str, _part: str) -> None:
        if name == "SampleBatch":
            await entered.wait()
            await asyncio.Event().wait()

    runs = Runs(Replicas(gate=hang))
    running = asyncio.create_task(runs.run(batch(3)))
    await entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    runs.stages.gate = None
    await runs.run(batch(3))
    assert len(runs.stages.named("Save")) == 1
