"""kill -9 of a process that runs twenty jobs; another over the same database takes them up."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT
from tests.faults.service import Receiver
from tests.ports import free_port

API = "/api/v7/comfyui"
JOBS, STEPS = 20, 15
WITHIN_S = 120.0


@contextmanager
def _replica(folder: Path, receiver: Receiver) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process and its URL."""
    port, host = free_port(), f"127.0.0.1:{receiver.port}"
    command = [sys.executable, "-m", "tests.api.replica_process", str(folder), host, str(port)]
    without_keys = {**os.environ, "COMFYRAY_AUTH": "off"}
    with subprocess.Popen(command, cwd=ROOT, env=without_keys) as process:
        try:
            _wait_until_served(process, f"http://127.0.0.1:{port}")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_until_served(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/healthz")
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the replica does not come up")


def _post(url: str, receiver: Receiver, number: int) -> int:
    hook = f"http://127.0.0.1:{receiver.port}/hook"
    workflow = {"steps": STEPS, "number": number}
    body = {"workflow": workflow, "wait": 0, "webhook": hook}
    return int(httpx.post(f"{url}{API}/execute", json=body, timeout=60).json()["id"])


def _jobs(url: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = httpx.get(f"{url}{API}/jobs", timeout=60).json()["jobs"]
    return jobs


def _answers(url: str, job_ids: list[int]) -> list[dict[str, Any]]:
    """The jobs' answers, once all have ended."""
    deadline = time.monotonic() + WITHIN_S
    with httpx.Client(base_url=url, timeout=60) as client:
        while True:
            answers = [client.get(f"{API}/fetch/{job_id}").json() for job_id in job_ids]
            if all(answer["status"] != "processing" for answer in answers):
                return answers
            assert time.monotonic() < deadline, answers
            time.sleep(0.2)


def test_another_replica_ends_what_a_killed_one_ran(tmp_path: Path) -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver().listening())
        first, url = stack.enter_context(_replica(tmp_path, receiver))
        _, other_url = stack.enter_context(_replica(tmp_path, receiver))
        with ThreadPoolExecutor(4) as pool:
            job_ids = list(pool.map(lambda n: _post(url, receiver, n), range(JOBS)))
        first.kill()
        assert "running" in {job["status"] for job in _jobs(other_url)}
        answers = _answers(other_url, job_ids)
        receiver.wait_for(job_ids, WITHIN_S)
    assert [answer["status"] for answer in answers] == ["success"] * JOBS
    for job_id, answer in zip(job_ids, answers, strict=True):
        (output,) = answer["outputs"]
        (file,) = (tmp_path / "outputs" / "local" / str(job_id)).rglob("*.*")
        assert file.name == output["filename"]
    assert [len(set(receiver.events[job_id])) for job_id in job_ids] == [1] * JOBS
