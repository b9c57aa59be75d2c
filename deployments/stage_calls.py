"""Metrics of the calls that the router makes to stages."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from api.metrics.service_metrics import SECONDS
from deployments.watches import Follower
from graph.events import Started, StepEvent
from graph.plan import Segment


class StageCalls:
    """Counts segments by stage: how they ended, how long they waited, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "comfyray_segments", "Segments that ended.", ["stage", "end"], registry=registry
        )
        self._wait_s = Histogram(
            "comfyray_segment_wait_seconds",
            "From a segment's call to the start of its first node.",
            ["stage"],
            registry=registry,
            buckets=SECONDS,
        )
        self._run_s = Histogram(
            "comfyray_segment_seconds",
            "From a segment's call to its end.",
            ["stage"],
            registry=registry,
            buckets=SECONDS,
        )

    @contextmanager
    def watch(self, segment: Segment) -> Iterator[Follower]:
        """Follow one segment. One that is left early was cancelled, or failed."""
        stage, called, waits = segment.stage, time.perf_counter(), [True]

        def hear(event: StepEvent) -> None:
            if waits and isinstance(event, Started):
                waits.clear()
                self._wait_s.labels(stage).observe(time.perf_counter() - called)

        end = "left"
        try:
            yield Follower(hear)
            end = "done"
        finally:
            self._ended.labels(stage, end).inc()
            self._run_s.labels(stage).observe(time.perf_counter() - called)
