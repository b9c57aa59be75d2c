"""OpenTelemetry traces: a span for each job, under it one for each segment, and for each node.

A segment's call is a span of the router; under it is one of the replica that runs it, as W3C's
trace context goes with the call.
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
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.jobs.runner import RunningJob
from deployments.watches import Follower, SegmentWatch
from graph.events import Done, Started, StepEvent
from graph.plan import Segment
from graph.stages import Stage

NS = 1_000_000_000
PROPAGATOR, PARENT = TraceContextTextMapPropagator(), "traceparent"
HERE = frozenset({Stage.INLINE, Stage.OUTPUT})  # run by the router itself


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
    def _segment(self, job: Context, segment: Segment) -> Iterator[Follower]:
        """The span of one call to a stage, in the router; of the router's own, its nodes too."""
        attributes = {"comfyray.stage": segment.stage, "comfyray.base": segment.base}
        span = self._tracer.start_span(
            f"segment {segment.stage}", context=job, attributes=attributes
        )
        inside = set_span_in_context(span)
        nodes = self._nodes(inside, segment) if segment.stage in HERE else None
        waits = [True]

        def hear(event: StepEvent) -> None:
            if waits and isinstance(event, Started):
                waits.clear()
                span.add_event("started")  # what was before is waiting for the stage
            if nodes is not None:
                nodes(event)

        carrier: dict[str, str] = {}
        PROPAGATOR.inject(carrier, inside)
        with _ending(span):
            yield Follower(hear, carrier.get(PARENT, ""))

    @contextmanager
    def on_stage(self, segment: Segment) -> Iterator[Follower]:
        """The span of a segment on the replica that runs it, and of its nodes.

        It belongs to the trace of the call, or begins one where that is not traced.
        """
        caller = PROPAGATOR.extract({PARENT: segment.trace})
        attributes = {"comfyray.stage": segment.stage}
        span = self._tracer.start_span(
            f"run {segment.stage}", context=caller, attributes=attributes
        )
        with _ending(span):
            yield Follower(self._nodes(set_span_in_context(span), segment))

    def _nodes(self, inside: Context, segment: Segment) -> Callable[[StepEvent], None]:
        """Writes a span for each node that is done."""
        steps = {step.node_id: step for step in segment.steps}

        def hear(event: StepEvent) -> None:
            if not isinstance(event, Done):
                return
            step = steps.get(event.node_id)
            end_ns = time.time_ns()
            self._tracer.start_span(
                step.class_type if step else "node",
                context=inside,
                attributes={"comfyray.node": step.reported_id if step else event.node_id},
                start_time=end_ns - int(event.seconds * NS),
            ).end(end_ns)

        return hear


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
