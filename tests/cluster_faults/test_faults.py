"""What fails amid forty jobs of four owners: all succeed once, and are told of once.

What failed, how long clients had no answer, and when all jobs had ended goes to
build/cluster_faults.jsonl.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.cluster_faults.conftest import Installation
from tests.cluster_faults.load import JOBS, PINNED, POOLED, unlike, workflow
from tests.cluster_faults.services import Away
from tests.conftest import ROOT

STEPS = 40
LATER = 10  # of the jobs, posted while something is away
AWAY_S = 20.0
WITHIN_S = 600.0
pytestmark = pytest.mark.cluster_faults

Fault = Callable[[Installation], None]


def away(server: Away) -> None:
    server.stop()
    time.sleep(AWAY_S)
    server.start()


def worker_killed(installation: Installation) -> None:
    """That on which a router is, and a pooled sampler; another one comes in its place."""
    installation.cluster.kill_worker("b")
    time.sleep(AWAY_S)
    installation.start_workers()


def head_killed(installation: Installation) -> None:
    heads = installation.cluster.heads
    installation.cluster.kill_head()
    deadline = time.monotonic() + WITHIN_S
    while installation.cluster.heads == heads or not installation.cluster.directs():
        assert time.monotonic() < deadline, "the head does not come back"
        time.sleep(0.5)


def redeployed(installation: Installation) -> None:
    installation.serve(**SIZES, torch_threads=2)  # what every stage is told


def router_drained(installation: Installation) -> None:
    installation.serve(**{**SIZES, "routers": 1})


SIZES: dict[str, Any] = {"samplers": (2, 2), "pinned": 1}
FAULTS: Mapping[str, Fault] = {
    "worker node killed": worker_killed,
    "head killed": head_killed,
    "database away": lambda installation: away(installation.postgres),
    "S3 away": lambda installation: away(installation.s3),
    "Redis away": lambda installation: away(installation.redis),
    "redeployed": redeployed,
    "router drained": router_drained,
}


def works(what: str, first: int, last: int) -> dict[str, dict[str, Any]]:
    """Workflows by Idempotency-Key; one in four is of the pinned base."""
    seeds = {k: 1000 * list(FAULTS).index(what) + k for k in range(first, last)}
    return {
        f"{what} {k}": workflow(seed, base=POOLED if k % 4 else PINNED, steps=STEPS)
        for k, seed in seeds.items()
    }


@pytest.mark.parametrize("what", FAULTS)
def test_all_jobs_succeed_once(installation: Installation, what: str) -> None:
    installation.start_workers()
    installation.serve(**SIZES)
    clients = installation.clients
    clients.seen.clear()
    jobs = clients.post_all(works(what, 0, JOBS - LATER))
    clients.wait(jobs, lambda states: "success" in states, WITHIN_S)
    running = clients.states(jobs).count("running")
    began = time.monotonic()
    later = threading.Thread(
        target=lambda: jobs.extend(clients.post_all(works(what, JOBS - LATER, JOBS)))
    )
    failing = threading.Thread(target=FAULTS[what], args=(installation,))
    failing.start()
    later.start()
    away_s = clients.longest_silence_s(failing.is_alive, jobs)
    for thread in (failing, later):
        thread.join()
    over_s = time.monotonic() - began
    assert len(jobs) == JOBS
    clients.wait_until_ended(jobs)
    ended_s = time.monotonic() - began
    clients.check(jobs, installation.bucket)
    assert clients.post_all(works(what, 0, JOBS)) == jobs
    assert not unlike(clients.seen)
    recorded = "SELECT status, count(*), sum(epoch - 1) FROM jobs WHERE idempotency_key LIKE"
    ((status, count, again),) = installation.postgres.query(f"{recorded} '{what} %' GROUP BY 1")
    assert (status, count) == ("success", str(JOBS))
    times = {"no_answer_s": away_s, "over_s": over_s, "all_ended_s": ended_s}
    facts = {name: round(value, 1) for name, value in times.items()}
    _write({"failed": what, "running": running, "begun_again": int(again), **facts})


def _write(facts: Mapping[str, Any]) -> None:
    path = ROOT / "build" / "cluster_faults.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(facts) + "\n")
