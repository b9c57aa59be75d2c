"""kill -9 in the middle of twenty running jobs: all succeed once, and are told of once.

What was killed, how long it took and what was begun again goes to build/faults.jsonl.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.workflows import text_to_image
from tests.conftest import ROOT
from tests.faults.service import UNFINISHED, Receiver, RunningService
from tests.ports import free_port

JOBS = 20
STEPS = 150
WITHIN_S = 480.0  # a minute on a quiet machine with two cores
pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def service(
    parity_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("faults")
    with Receiver().listening() as receiver:
        running = RunningService(free_port(), folder, parity_models, receiver)
        running.start()
        (warm,) = running.post_all({"warm": _workflow(0, steps=1)})
        running.wait_until([warm], lambda states: states == ["success"], WITHIN_S)
        yield running
        running.stop()


def _workflow(seed: int, steps: int = STEPS) -> dict[str, Any]:
    model = "parity_sd15.safetensors"
    return text_to_image(model, seed=seed, prompt=f"fox {seed}", cfg=5.0, steps=steps)


def _restart(service: RunningService) -> None:
    service.kill()
    service.start()


KILLS: dict[str, Callable[[RunningService], None]] = {
    "router replica": lambda service: service.kill_one(":Router"),
    "stage replica": lambda service: service.kill_one(":Stages"),
    "proxy": lambda service: service.kill_one("ProxyActor"),
    "whole service": _restart,
}


@pytest.mark.parametrize("what", KILLS)
def test_all_jobs_succeed_once(service: RunningService, what: str) -> None:
    seeds = [1000 * list(KILLS).index(what) + k for k in range(JOBS)]
    job_ids = service.post_all({f"{what} {seed}": _workflow(seed) for seed in seeds})
    service.wait_for_progress(job_ids[0])
    running = service.states(job_ids).count("running")
    assert running >= JOBS * 3 // 4  # on a busy machine the first end while the last are posted
    began = time.monotonic()
    KILLS[what](service)
    away_s = time.monotonic() - began
    away_s += service.wait_until(job_ids, bool, WITHIN_S)
    left_s = service.wait_until(job_ids, lambda states: not UNFINISHED & set(states), WITHIN_S)
    answers = [service.fetch(job_id) for job_id in job_ids]
    assert [answer["status"] for answer in answers] == ["success"] * JOBS, answers
    for answer in answers:
        _check_outputs(service, answer)
    service.receiver.wait_for(job_ids, WITHIN_S)
    told = [service.receiver.events[job_id] for job_id in job_ids]
    assert [len(set(events)) for events in told] == [1] * JOBS
    assert len({event for events in told for event in events}) == JOBS
    again = service.post_all({f"{what} {seed}": _workflow(seed) for seed in seeds})
    assert again == job_ids
    times = {"no_answer_s": round(away_s, 1), "all_ended_s": round(away_s + left_s, 1)}
    _write({"killed": what, "running": running, **times}, service.epochs(job_ids), told)


def _check_outputs(service: RunningService, answer: dict[str, Any]) -> None:
    """One picture, in the answer, by its URL, and in the folder."""
    (output,) = answer["outputs"]
    content = httpx.get(output["url"], timeout=60).content
    assert hashlib.sha256(content).hexdigest() == output["sha256"]
    assert [path.name for path in service.files(answer["id"])] == [output["filename"]]


def _write(facts: dict[str, Any], epochs: list[int], told: list[list[str]]) -> None:
    facts["begun_again"] = sum(epoch > 1 for epoch in epochs)
    facts["webhooks"] = sum(map(len, told))
    path = ROOT / "build" / "faults.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(facts) + "\n")
