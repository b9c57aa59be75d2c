"""Figures for GET /metrics."""

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from storage.jobs import JobRecord

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000)


class Places(Protocol):
    """How many jobs wait, and run."""

    @property
    def waiting(self) -> int: ...

    @property
    def running(self) -> int: ...


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

    def watch(self, queue: Places) -> None:
        """Read the queue whenever somebody asks for the figures."""
        self._places.labels("queued").set_function(lambda: queue.waiting)
        self._places.labels("running").set_function(lambda: queue.running)

    def ended(self, record: JobRecord) -> None:
        self._ended.labels(record.status).inc()
        if record.started_s is not None and record.ended_s is not None:
            self._run_s.observe(record.ended_s - record.started_s)
            self._queued_s.observe(record.started_s - record.created_s)
