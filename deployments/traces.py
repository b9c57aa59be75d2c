"""OpenTelemetry traces: a span for each job, under it one for each segment, and for each node.

Imported only where traces are wanted. No span holds what a caller wrote: ids, classes and stages.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from api.jobs.runner import RunningJob
from deployments.clients import SegmentWatch
from graph.events import Done, Started, StepEvent
from graph.plan import Segment

NS = 1_000_000_000


class Traces:
    """Writes spans with a tracer, from any number of jobs at once."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def job(self, job: RunningJob) -> Iterator[tuple[SegmentWatch, ...]]:
        """The span of a job, for as long as it runs; gives what follows its segments."""
        attributes: dict[str, str | int] = {
            "comfyray.job": job.id,
            "comfyray.owner": job.owner,
        }
        span = self._tracer.start_span("job", attributes=attributes)
        inside = set_span_in_context(span)
        with _ending(span):
            yield (lambda segment: self._segment(inside, segment),)

    @contextmanager
    def _segment(self, job: Context, segment: Segment) -> Iterator[Callable[[StepEvent], None]]:
        """The span of one call to a stage."""
        attributes = {"comfyray.stage": segment.stage.value, "comfyray.base": segment.base}
        span = self._tracer.start_span(
            f"segment {segment.stage.value}", context=job, attributes=attributes
        )
        inside = set_span_in_context(span)
        classes = {step.node_id: step.class_type for step in segment.steps}
        waits = [True]

        def hear(event: StepEvent) -> None:
            if waits and isinstance(event, Started):
                waits.clear()
                span.add_event("started")  # what was before is waiting for the stage
            if isinstance(event, Done):
                self._node(inside, event, classes.get(event.node_id, ""))

        with _ending(span):
            yield hear

    def _node(self, segment: Context, done: Done, class_type: str) -> None:
        end_ns = time.time_ns()
        span = self._tracer.start_span(
            class_type or "node",
            context=segment,
            attributes={"comfyray.node": done.node_id},
            start_time=end_ns - int(done.seconds * NS),
        )
        span.end(end_ns)


@contextmanager
def _ending(span: Span) -> Iterator[None]:
    """Ends the span with the block; of an error its kind is told, not its words."""
    try:
        yield
    except BaseException as error:
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        span.end()


def open_traces(endpoint: str) -> Traces:
    """Traces that go to a collector by OTLP over HTTP ("http://collector:4318")."""
    provider = TracerProvider(resource=Resource.create({"service.name": "comfyray"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider.get_tracer("comfyray"))
