"""Metrics of one pack: its calls, and its processes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from deployments.stage_metrics import StageMetrics
from graph.stages import Stage
from packs.processes import PackProcesses

CALL_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class PackMetrics(StageMetrics):
    """What is counted of a pack, in the replica that has it."""

    def __init__(self, stage: Stage, processes: PackProcesses) -> None:
        super().__init__(stage)
        self._calls = Counter(
            "comfyray_pack_calls",
            "Calls of a pack's code.",
            ["kind", "end"],
            registry=self.registry,
        )
        self._took = Histogram(
            "comfyray_pack_call_seconds",
            "How long calls of a pack's code took.",
            ["kind"],
            registry=self.registry,
            buckets=CALL_S,
        )
        gauges = {
            "comfyray_pack_processes": ("Processes of a pack.", lambda: processes.alive),
            "comfyray_pack_starts": ("Processes that loaded a pack.", lambda: processes.started),
            "comfyray_pack_ends": (
                "Processes of a pack that crashed or were ended.", lambda: processes.crashed,
            ),
        }  # fmt: skip
        for name, (said, count) in gauges.items():
            Gauge(name, said, registry=self.registry).set_function(count)

    @contextmanager
    def call(self, kind: str) -> Iterator[None]:
        """Count a call: a segment of nodes, or a hook."""
        began, end = time.perf_counter(), "failed"
        try:
            yield
            end = "done"
        finally:
            self._calls.labels(kind, end).inc()
            self._took.labels(kind).observe(time.perf_counter() - began)
