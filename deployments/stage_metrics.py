"""Metrics of one stage in one replica. The router collects them when /metrics is read.

A replica is a process of its own, and there may be many, on machines that no scraper reaches; in
the local profile no agent of Ray's exports metrics. So the metrics travel as the answer to a call.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from api.metrics.replica_metrics import ReplicaMetrics
from graph.stages import Stage

CALL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


class Weights(Protocol):
    """What is kept in memory (diffusion/memory/cache.py)."""

    def resident(self) -> tuple[Any, ...]: ...

    def used_bytes(self) -> int: ...


class StageMetrics:
    """The metrics of one stage in this replica. Thread-safe, as prometheus_client is."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._replica = secrets.token_hex(4)  # a label: new with every start
        self.registry = CollectorRegistry()
        self._segments = Gauge(
            "comfyray_stage_segments", "Segments being run.", registry=self.registry
        )

    @contextmanager
    def segment(self) -> Iterator[None]:
        """Counts a segment while it runs."""
        with self._segments.track_inprogress():
            yield

    def watch_weights(self, kinds: Mapping[str, Weights]) -> None:
        """Report the models in memory, by kind."""
        models = Gauge(
            "comfyray_stage_resident_models",
            "Models in memory.",
            ["kind"],
            registry=self.registry,
        )
        held = Gauge(
            "comfyray_stage_resident_bytes",
            "What models in memory take.",
            ["kind"],
            registry=self.registry,
        )
        for kind, weights in kinds.items():
            models.labels(kind).set_function(_count_of(weights))
            held.labels(kind).set_function(weights.used_bytes)

    def watch_waiting(self, waiting: Callable[[], int]) -> None:
        """Report how many jobs wait for their next model call."""
        gauge = Gauge(
            "comfyray_stage_waiting", "Jobs between two model calls.", registry=self.registry
        )
        gauge.set_function(waiting)

    def calls(self) -> Callable[[int, float], None]:
        """A function to call after each model call, with its batch size and its seconds."""
        took = Histogram(
            "comfyray_stage_call_seconds",
            "One model call: a step of a batch, or prompts being encoded.",
            registry=self.registry,
            buckets=CALL_S,
        )
        sizes = Histogram(
            "comfyray_stage_batch_size",
            "Pictures or prompts in one model call.",
            registry=self.registry,
            buckets=SIZES,
        )

        def called(size: int, seconds: float) -> None:
            took.observe(seconds)
            sizes.observe(size)

        return called

    def lookups(self) -> Callable[[bool], None]:
        """A function to call after each cache lookup, with whether it was a hit."""
        counter = Counter(
            "comfyray_stage_cache_lookups",
            "Lookups in the stage's cache.",
            ["found"],
            registry=self.registry,
        )
        return lambda found: counter.labels(str(found).lower()).inc()

    def snapshot(self) -> ReplicaMetrics:
        return ReplicaMetrics(self._stage, self._replica, tuple(self.registry.collect()))


def _count_of(weights: Weights) -> Callable[[], float]:
    return lambda: float(len(weights.resident()))
