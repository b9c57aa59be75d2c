"""Spans of jobs, segments and nodes, read from memory."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.figures.stage_figures import StageFigures
from api.jobs.runner import RunningJob
from deployments.clients import JobStages, JobWork, StageClients
from deployments.traces import Traces
from graph.cache import Handle
from graph.events import Done, Started, StepEvent
from graph.node import Stage
from graph.plan import Segment
from graph.prompt import Source
from storage.local_files import LocalFiles
from storage.outputs import JobFolder, JobOutputs

ROOT = Path(__file__).resolve().parents[2]


class OneNode:
    """A stage whose segments have one node."""

    idle = 1

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        yield Started("3")
        yield Done("3", 0.25)

    async def figures(self) -> tuple[StageFigures, ...]:
        return ()


async def _spans(folder: Path) -> dict[str, ReadableSpan]:
    """The spans of a job with one segment, by name."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    outputs = JobOutputs(JobFolder(LocalFiles(folder), "outputs/me/7/", 60))
    job = RunningJob("me", 7, outputs, lambda _: None, lambda _: None)
    clients = StageClients({Stage.SAMPLE: OneNode()})
    with Traces(provider.get_tracer("tests")).job(job) as watches:
        stages = JobStages(clients, {}, JobWork(str), watches)
        async for _ in stages.run(Segment(Stage.SAMPLE, (), frozenset()), {}):
            pass
    return {span.name: span for span in exporter.get_finished_spans()}


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


async def test_a_job_has_spans_of_its_segments_and_nodes(tmp_path: Path) -> None:
    spans = await _spans(tmp_path)
    job, segment, node = spans["job"], spans["segment sample"], spans["node"]
    assert _parent(job) is None
    assert _parent(segment) == _id(job)
    assert _parent(node) == _id(segment)
    assert dict(job.attributes or {}) == {"comfyray.job": 7, "comfyray.owner": "me"}
    assert [event.name for event in segment.events] == ["started"]
    assert node.start_time is not None
    assert node.end_time is not None
    assert node.end_time - node.start_time == 250_000_000


async def test_of_an_error_its_kind_is_told_and_not_its_words(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider.get_tracer("tests"))
    outputs = JobOutputs(JobFolder(LocalFiles(tmp_path), "outputs/me/7/", 60))
    job = RunningJob("me", 7, outputs, lambda _: None, lambda _: None)

    with pytest.raises(ValueError, match="lighthouse"), traces.job(job):
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
