"""What replicas count, as the page of the router has it."""

import asyncio
import json
import pickle
import re
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.metrics.replica_metrics import ReplicaMetrics
from api.metrics.service_metrics import ServiceMetrics
from deployments.clients import JobStages, JobWork, StageClients
from deployments.pack_metrics import PackMetrics
from deployments.stage_calls import StageCalls
from deployments.stage_metrics import StageMetrics
from graph.cache import Handle, ResultCache
from graph.events import Done, Started, StepEvent
from graph.plan import Segment
from graph.prompt import Source
from graph.stages import Stage
from packs.processes import PackProcesses

ROOT = Path(__file__).resolve().parents[2]


class TwoModels:
    def resident(self) -> tuple[str, ...]:
        return ("a", "b")

    def used_bytes(self) -> int:
        return 30


def _replica() -> StageMetrics:
    metrics = StageMetrics(Stage.SAMPLE)
    called, looked_up = metrics.calls(), metrics.lookups()
    metrics.watch_weights({"model": TwoModels()})
    metrics.watch_waiting(lambda: 3)
    called(4, 0.2)
    looked_up(True)
    return metrics


def _samples(page: bytes) -> dict[tuple[str, str], float]:
    """Sums over replicas, by name and stage."""
    sums: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = sample.name, sample.labels.get("stage", "")
            sums[key] = sums.get(key, 0.0) + sample.value
    return sums


async def test_the_metrics_of_all_replicas_are_on_one_page() -> None:
    replicas = [_replica(), _replica()]

    async def ask() -> list[ReplicaMetrics]:
        metrics = [pickle.loads(pickle.dumps(replica.snapshot())) for replica in replicas]
        return [*metrics, *metrics]  # one deployment may be asked for each of its stages

    metrics = ServiceMetrics()
    metrics.ask(ask)
    page = await metrics.page(oldest_webhook_s=7.0)
    sums = _samples(page)
    assert sums["comfyray_stage_batch_size_sum", "sample"] == 8
    assert sums["comfyray_stage_call_seconds_count", "sample"] == 2
    assert sums["comfyray_stage_resident_models", "sample"] == 4
    assert sums["comfyray_stage_resident_bytes", "sample"] == 60
    assert sums["comfyray_stage_waiting", "sample"] == 6
    assert sums["comfyray_stage_cache_lookups_total", "sample"] == 2
    assert sums["comfyray_webhook_lag_seconds", ""] == 7
    assert page.count(b"# TYPE comfyray_stage_batch_size ") == 1


def test_a_segment_counts_while_it_runs() -> None:
    metrics = StageMetrics(Stage.IMAGE)
    with metrics.segment():
        during = generate_latest(metrics.registry)
    assert b"comfyray_stage_segments 1.0" in during
    assert b"comfyray_stage_segments 0.0" in generate_latest(metrics.registry)


class OneNode:
    """A stage whose segments wait, run one node and are done."""

    idle = 1

    async def run(
        self, segment: Segment, inputs: Mapping[Source, Handle]
    ) -> AsyncGenerator[StepEvent, None]:
        await asyncio.sleep(0)
        yield Started("3")
        yield Done("3", 0.1)

    async def metrics(self) -> tuple[ReplicaMetrics, ...]:
        return ()


async def test_segments_are_counted_by_stage_and_end() -> None:
    registry = CollectorRegistry()
    clients = StageClients({Stage.IMAGE: OneNode()})
    stages = JobStages(clients, {}, JobWork(str), (StageCalls(registry).watch,))
    segment = Segment(Stage.IMAGE, (), frozenset())
    assert len([event async for event in stages.run(segment, {})]) == 2
    left = stages.run(segment, {})
    await anext(left)
    await left.aclose()
    page = generate_latest(registry).decode()
    for end in ("done", "left"):
        assert f'comfyray_segments_total{{end="{end}",stage="image"}} 1.0' in page
    assert 'comfyray_segment_wait_seconds_count{stage="image"} 2.0' in page


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    dashboard = json.loads((ROOT / "cluster/grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"comfyray_\w+", target["expr"])
    }
    metrics = ServiceMetrics()
    metrics.watch_cache(ResultCache(1))
    StageCalls(metrics.registry)
    processes = SimpleNamespace(alive=1, started=1, crashed=0)
    pack = PackMetrics(Stage("pack:x"), cast(PackProcesses, processes))
    registries = (metrics.registry, _replica().registry, pack.registry)
    known = {family.name for registry in registries for family in registry.collect()}
    endings = re.compile("_(total|bucket|sum|count)$")
    assert {endings.sub("", name) for name in asked} == known
