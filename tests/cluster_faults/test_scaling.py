"""Samplers come with the work and go without it; jobs are spread over nodes.

Times go to build/cluster_scaling.jsonl.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster_faults.conftest import Installation
from tests.cluster_faults.load import JOBS, PINNED, unlike, workflow
from tests.conftest import ROOT

STEPS = 60
WITHIN_S = 300.0
SIZES: dict[str, Any] = {"samplers": (1, 3), "pinned": 0}
POOL, OF_PINNED = "Sampler", f"Sampler-{PINNED.rpartition('.')[0]}"
pytestmark = pytest.mark.cluster_faults


@pytest.fixture
def idle(installation: Installation) -> Installation:
    """With one pooled sampler, and none of the pinned base."""
    installation.start_workers()
    installation.serve(**SIZES)
    until(lambda: replicas(installation, POOL) == 1 and replicas(installation, OF_PINNED) == 0)
    installation.clients.seen.clear()
    return installation


def replicas(installation: Installation, deployment: str) -> int:
    return installation.cluster.running(deployment)


def until(done: Callable[[], bool]) -> float:
    """The seconds until `done` says so."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < WITHIN_S
        time.sleep(0.5)
    return time.monotonic() - began


def test_a_pool_grows_under_load_and_shrinks_after(idle: Installation) -> None:
    clients, cluster = idle.clients, idle.cluster
    began = time.monotonic()
    jobs = clients.post_all({f"pool {k}": workflow(50_000 + k, steps=STEPS) for k in range(JOBS)})
    until(lambda: bool(cluster.wanted(POOL) > 1))
    wanted_s = time.monotonic() - began
    until(lambda: replicas(idle, POOL) == 3)
    up_s = time.monotonic() - began
    nodes = cluster.nodes_of(POOL)
    clients.wait_until_ended(jobs)
    rows = idle.clients.sampled()
    ended = time.monotonic()
    clients.check(jobs, idle.bucket)
    until(lambda: replicas(idle, POOL) == 1)
    down_s = time.monotonic() - ended
    _write("pool", {"wanted_s": wanted_s, "up_s": up_s, "down_s": down_s})
    assert len(nodes) == 2
    assert len(rows) > 1  # the last to come may find nothing left to do
    assert not unlike(clients.seen)


def test_a_pinned_base_that_nobody_asked_for_is_served_when_somebody_does(
    idle: Installation,
) -> None:
    began = time.monotonic()
    work = workflow(60_000, base=PINNED, steps=2)
    jobs = idle.clients.post_all({"pinned 0": work})
    until(lambda: replicas(idle, OF_PINNED) == 1)
    up_s = time.monotonic() - began
    idle.clients.wait_until_ended(jobs)
    picture_s = time.monotonic() - began
    idle.clients.check(jobs, idle.bucket)
    down_s = until(lambda: replicas(idle, OF_PINNED) == 0)
    _write("pinned", {"up_s": up_s, "picture_s": picture_s, "down_s": down_s})


def _write(what: str, times: dict[str, float]) -> None:
    path = ROOT / "build" / "cluster_scaling.jsonl"
    path.parent.mkdir(exist_ok=True)
    facts = {"what": what, **{name: round(value, 1) for name, value in times.items()}}
    with path.open("a") as file:
        file.write(json.dumps(facts) + "\n")
