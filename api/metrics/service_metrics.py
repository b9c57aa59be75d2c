"""Metrics of jobs, nodes and HTTP requests, for GET /metrics."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from api.metrics.replica_metrics import CombinedCollector, ReplicaMetrics
from storage.jobs.records import JobRecord

AskStages = Callable[[], Awaitable[Sequence[ReplicaMetrics]]]

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000)


class Places(Protocol):
    """How many jobs wait, and run."""

    @property
    def waiting(self) -> int: ...

    @property
    def running(self) -> int: ...


class Results(Protocol):
    """A cache of results."""

    @property
    def nbytes(self) -> int: ...

    def __len__(self) -> int: ...


class ServiceMetrics:
    """Counts jobs in a registry of its own, or the one given."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.accepted = Counter(
            "comfyray_jobs_accepted", "Jobs that were recorded.", registry=self.registry
        )
        self._ended = Counter(
            "comfyray_jobs_ended", "Jobs that ended.", ["status"], registry=self.registry
        )
        self._run_s = Histogram(
            "comfyray_job_run_seconds",
            "From a job's start to its end.",
            registry=self.registry,
            buckets=SECONDS,
        )
        self._queued_s = Histogram(
            "comfyray_job_queued_seconds",
            "From a job's acceptance to its start.",
            registry=self.registry,
            buckets=SECONDS,
        )
        self._places = Gauge(
            "comfyray_jobs", "Jobs that wait or run.", ["state"], registry=self.registry
        )
        self._nodes = Counter(
            "comfyray_nodes",
            "Nodes of jobs that ended; cached ones did not have to run.",
            ["stage", "cached"],
            registry=self.registry,
        )
        self._node_s = Histogram(
            "comfyray_node_seconds",
            "How long nodes ran.",
            ["stage"],
            registry=self.registry,
            buckets=SECONDS,
        )
        self._webhook_lag_s = Gauge(
            "comfyray_webhook_lag_seconds",
            "How long the oldest webhook that is still to be delivered has waited.",
            registry=self.registry,
        )
        self._requests = Counter(
            "comfyray_http_requests",
            "HTTP requests.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._request_s = Histogram(
            "comfyray_http_seconds",
            "From a request to the first byte of its answer.",
            ["route"],
            registry=self.registry,
            buckets=SECONDS,
        )
        self._ask: AskStages | None = None

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count an HTTP request whose answer began after `took_s`."""
        self._requests.labels(method, route, status).inc()
        self._request_s.labels(route).observe(took_s)

    def watch(self, queue: Places) -> None:
        """Read the length of the queue whenever the metrics are read."""
        self._places.labels("queued").set_function(lambda: queue.waiting)
        self._places.labels("running").set_function(lambda: queue.running)

    def ended(self, record: JobRecord) -> None:
        self._ended.labels(record.status).inc()
        if record.started_s is not None and record.ended_s is not None:
            self._run_s.observe(record.ended_s - record.started_s)
            self._queued_s.observe(record.started_s - record.created_s)
        for node in (record.answer or {}).get("nodes", ()):
            stage, cached = node["stage"], node["cached"]
            self._nodes.labels(stage, str(cached).lower()).inc()
            if not cached:
                self._node_s.labels(stage).observe(node["end_s"] - node["start_s"])

    def watch_cache(self, results: Results) -> None:
        """Report the number and the size of cached results."""
        entries = Gauge("comfyray_results", "Results that are kept.", registry=self.registry)
        held = Gauge("comfyray_results_bytes", "What they take.", registry=self.registry)
        entries.set_function(lambda: len(results))
        held.set_function(lambda: results.nbytes)

    def ask(self, stages: AskStages) -> None:
        """Add the metrics of the stages' replicas to the page."""
        self._ask = stages

    async def page(self, *, oldest_webhook_s: float) -> bytes:
        """All metrics in Prometheus' text format."""
        self._webhook_lag_s.set(oldest_webhook_s)
        stages = await self._ask() if self._ask else ()
        return generate_latest(CombinedCollector([self.registry], stages))
