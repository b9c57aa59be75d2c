"""Where segments go among samplers that each hold some of the models."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve._private.common import (
    DeploymentHandleSource,
    DeploymentID,
    ReplicaID,
    RequestMetadata,
)
from ray.serve._private.request_router.common import PendingRequest

from deployments.cost_router import (
    BASES,
    JOBS,
    LOADS,
    ONGOING,
    ROUTING,
    CostRouter,
    JobTimes,
    routing_stats,
)
from deployments.placement import Standing, ranked
from graph.values import ModelFile

APP = DeploymentID("Sampler", "comfyray")
PATIENCE_S = 20


def test_one_that_holds_the_model_is_taken_until_its_queue_outlasts_loading() -> None:
    def chosen(queue: int) -> str:
        standing = {"holds": Standing(queue, 2.0, 0.0), "idle": Standing(0, 2.0, 7.0)}
        return ranked(standing, standing.__getitem__, lambda: 0.0)[0]

    assert [chosen(queue) for queue in range(6)] == ["holds"] * 4 + ["idle"] * 2


def test_of_equals_chance_decides() -> None:
    draws = iter((0.9, 0.1))
    order = ranked(["a", "b"], lambda _: Standing(1, 1.0, 0.0), lambda: next(draws))
    assert order == ["b", "a"]


@dataclass
class Replica:
    """What Serve's routing reads of one."""

    name: str
    routing_stats: dict[str, Any] = field(default_factory=dict)
    max_ongoing_requests: int = 64
    multiplexed_model_ids: frozenset[str] = frozenset()
    node_id: str = "node"
    availability_zone: str | None = None

    @property
    def replica_id(self) -> ReplicaID:
        return ReplicaID(self.name, APP)

    async def get_queue_len(self, *, deadline_s: float) -> int:
        return 0


def asked(base: str) -> Any:
    return SimpleNamespace(metadata=SimpleNamespace(multiplexed_model_id=base))


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Any:
    kind: Any = CostRouter
    router = kind(
        deployment_id=APP,
        handle_source=DeploymentHandleSource.REPLICA,
        self_node_id="node",
        use_replica_queue_len_cache=True,
    )
    router.initialize_state()
    monkeypatch.setattr(random, "random", lambda: 0.5)
    return router


async def order(router: Any, replicas: list[Replica], base: str) -> list[str]:
    ranks = await router.choose_replicas(replicas, asked(base))
    return [replica.name for (replica,) in ranks]


async def test_what_replicas_tell_and_their_queues_decide(router: Any) -> None:
    told = {JOBS: 2.0, LOADS: {"a.safetensors": 7.0}}
    holds = Replica("holds", {**told, BASES: ["a.safetensors"]})
    idle = Replica("idle", {**told, BASES: ["b.safetensors"]})
    assert await order(router, [idle, holds], "a.safetensors") == ["holds", "idle"]
    router.replica_queue_len_cache.update(holds.replica_id, 4)
    assert await order(router, [idle, holds], "a.safetensors") == ["idle", "holds"]
    assert await order(router, [holds, idle], "b.safetensors") == ["idle", "holds"]


async def test_a_queue_that_serve_has_forgotten_is_what_the_replica_told(router: Any) -> None:
    busy, idle = Replica("busy", {ONGOING: 3}), Replica("idle", {ONGOING: 0})
    assert await order(router, [busy, idle], "a.safetensors") == ["idle", "busy"]
    router.replica_queue_len_cache.update(busy.replica_id, 0)
    router.replica_queue_len_cache.update(idle.replica_id, 2)
    assert await order(router, [idle, busy], "a.safetensors") == ["busy", "idle"]


async def test_serve_itself_asks_it_where_requests_go(router: Any) -> None:
    told = {JOBS: 2.0, LOADS: {"a.safetensors": 7.0}}
    replicas = [Replica("holds", {**told, BASES: ["a.safetensors"]}), Replica("idle", told)]
    router.update_replicas(replicas)
    went = []
    for number in range(8):
        metadata = RequestMetadata(str(number), str(number), multiplexed_model_id="a.safetensors")
        pending = PendingRequest(args=[], kwargs={}, metadata=metadata)
        chosen = await asyncio.wait_for(router._choose_replica_for_request(pending), PATIENCE_S)
        router.on_send_request(chosen.replica_id)
        router.on_request_routed(pending, chosen.replica_id, None)
        went.append(chosen.name)
    assert went == ["holds"] * 4 + ["idle"] * 4  # where it has been loaded since
    assert ROUTING.get_request_router_class() is CostRouter


async def test_a_model_that_was_just_sent_somewhere_is_held_there(router: Any) -> None:
    one, other = Replica("one"), Replica("other")
    router.on_request_routed(asked("a.safetensors"), other.replica_id, None)
    assert await order(router, [one, other], "a.safetensors") == ["other", "one"]


def test_a_replica_tells_the_bases_it_holds_and_how_long_they_took() -> None:
    base, vae = ModelFile("checkpoints", "a"), ModelFile("vae", "v")
    changed = ("model", base, "default", ("lora",))
    keys = (("model", base, "default"), changed, ("vae", vae))
    told = routing_stats(JobTimes(), keys, {keys[0]: 3.0, keys[2]: 1.0})
    assert told == {JOBS: 0.0, ONGOING: 0, BASES: ["a"], LOADS: {"a": 3.0}}


def test_jobs_that_share_steps_delay_others_less(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    times = JobTimes()
    for _ in range(2):  # two at once that end together after six seconds
        times.begun()
    now = 6.0
    for _ in range(2):
        times.ended()
    assert times.job_s == pytest.approx(6.0 - 6.0 / JobTimes.RECENT)
