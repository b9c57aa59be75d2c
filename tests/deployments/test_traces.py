"""Spans of jobs, segments and nodes, read from memory."""

import pickle
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.jobs.runner import RunningJob
from api.metrics.replica_metrics import ReplicaMetrics
from deployments.clients import JobStages, JobWork, StageClients
from deployments.stage import SegmentRunner
from deployments.stage_metrics import StageMetrics
from deployments.traces import Traces
from graph.cache import Handle
from graph.events import Done, StepEvent
from graph.plan import Segment, Step
from graph.prompt import Source
from graph.stages import Stage
from storage.job_outputs import JobOutputs
from storage.local_files import LocalFiles
from storage.outputs import JobFolder
from tests.graph.nodes_for_tests import node_types

ROOT = Path(__file__).resolve().parents[2]


class Calls:
    """What the nodes of the test are called with."""

    async def record(self, name: str, *values: Any) -> Any:
        return name


class OnReplica:
    """A stage with the real runner of its replicas; the call is pickled, as on its way there."""

    idle = 1

    def __init__(self, traces: Traces) -> None:
        self._segments = SegmentRunner(
            dict.fromkeys((Stage.ENCODE, Stage.SAMPLE), lambda *_: Calls()),
            StageMetrics(Stage.SAMPLE),
            traces.on_stage,
            node_types(),
        )

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        sent: Segment = pickle.loads(pickle.dumps(segment))
        async for event in self._segments.run(sent, inputs):
            yield event

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        return ()


def _exporting() -> tuple[Traces, InMemorySpanExporter]:
    """What a process of its own writes spans with."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Traces(provider.get_tracer("tests")), exporter


def _job(folder: Path) -> RunningJob:
    outputs = JobOutputs(JobFolder(LocalFiles(folder), "outputs/me/7/", 60))
    return RunningJob("me", 7, outputs, lambda _: None, lambda _: None)


def _segment(stage: Stage, class_type: str, **constants: str) -> Segment:
    return Segment(stage, (Step("3", class_type, constants, {}, "key"),), frozenset())


Spans = dict[str, ReadableSpan]


async def _spans(folder: Path, segment: Segment) -> tuple[Spans, Spans]:
    """The spans of a job with one segment, by name: of the router, and of the replica."""
    (router, of_router), (replica, of_replica) = _exporting(), _exporting()
    clients = StageClients({Stage.SAMPLE: OnReplica(replica)})
    work = JobWork(lambda _: Calls())
    with router.job(_job(folder)) as watches:
        async for _ in JobStages(clients, node_types(), work, watches).run(segment, {}):
            pass
    return (
        {span.name: span for span in of_router.get_finished_spans()},
        {span.name: span for span in of_replica.get_finished_spans()},
    )


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def _trace(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id


async def test_the_spans_of_router_and_replica_are_one_trace(tmp_path: Path) -> None:
    router, replica = await _spans(tmp_path, _segment(Stage.SAMPLE, "Empty"))
    job, called = router["job"], router["segment sample"]
    ran, node = replica["run sample"], replica["Empty"]
    assert (len(router), len(replica)) == (2, 2)
    assert _parent(job) is None
    assert _parent(called) == _id(job)
    assert _parent(ran) == _id(called)
    assert _parent(node) == _id(ran)
    assert {_trace(span) for span in (called, ran, node)} == {_trace(job)}
    assert dict(job.attributes or {}) == {"comfyray.job": 7, "comfyray.owner": "me"}
    assert dict(node.attributes or {}) == {"comfyray.node": "3"}
    assert [event.name for event in called.events] == ["started"]


async def test_what_the_router_runs_itself_has_spans_of_its_nodes(tmp_path: Path) -> None:
    router, replica = await _spans(tmp_path, _segment(Stage.OUTPUT, "Save", image="a picture"))
    assert _parent(router["Save"]) == _id(router["segment output"])
    assert replica == {}


async def test_a_nodes_span_is_as_long_as_it_took() -> None:
    traces, exporter = _exporting()
    with traces.on_stage(_segment(Stage.SAMPLE, "Empty")) as follower:
        follower.hear(Done("3", 0.25))
    node, ran = exporter.get_finished_spans()
    assert node.start_time is not None
    assert node.end_time is not None
    assert node.end_time - node.start_time == 250_000_000
    assert _parent(ran) is None  # nobody called it with a trace


async def test_of_an_error_its_kind_is_told_and_not_its_words(tmp_path: Path) -> None:
    traces, exporter = _exporting()
    with pytest.raises(ValueError, match="lighthouse"), traces.job(_job(tmp_path)):
        raise ValueError("a lighthouse at dusk")
    (span,) = exporter.get_finished_spans()
    assert span.status.description == "ValueError"
    assert "lighthouse" not in span.to_json()


def test_without_the_setting_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, deployments.router; MARKS = ('deployments.traces', 'opentelemetry.exporter');"
        "sys.exit(', '.join(m for m in sys.modules if m.startswith(MARKS)) or None)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.stderr.strip(), ran.returncode) == ("", 0)
