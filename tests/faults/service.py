"""The real application as something to be killed, and a receiver for its webhooks."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests.conftest import ROOT, wait_until_ready

API = "/api/v7/comfyui"
UNFINISHED = {"queued", "running"}


@dataclass
class Receiver:
    """Takes webhooks on loopback, and keeps which events it was told of each job."""

    events: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    port: int = 0

    def wait_for(self, job_ids: list[int], within_s: float) -> None:
        """Until every job was told of."""
        deadline = time.monotonic() + within_s
        while not all(self.events[job_id] for job_id in job_ids):
            assert time.monotonic() < deadline, "a webhook did not come"
            time.sleep(0.2)

    @contextmanager
    def listening(self) -> Iterator["Receiver"]:
        events = self.events

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                events[body["id"]].append(self.headers["webhook-id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass
class RunningService:
    """`make run` over a data folder that outlives it."""

    port: int
    folder: Path
    models: Path
    receiver: Receiver
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.starts += 1
        log = self.folder / f"log{self.starts}.txt"
        command = [sys.executable, "-m", "deployments.launch", "--port", str(self.port)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--config", str(self._config())],
                cwd=ROOT,
                env={**os.environ, **self._settings()},
                stdout=output,
                stderr=output,
            )
        wait_until_ready(self.process, log)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(90)

    def kill(self) -> None:
        """All of it at once, the launcher first, so that nobody can tidy up."""
        assert self.process
        launcher = psutil.Process(self.process.pid)
        for process in [launcher, *launcher.children(recursive=True)]:
            _kill(process)
        self.process.wait(30)

    def kill_one(self, title: str) -> None:
        """The Ray process of that title."""
        assert self.process
        children = psutil.Process(self.process.pid).children(recursive=True)
        (found,) = [one for one in children if title in _title(one)]
        _kill(found)

    def post(self, workflow: dict[str, Any], key: str) -> int:
        body = {"workflow": workflow, "wait": 0, "webhook": self._hook()}
        answer = httpx.post(
            f"{self.url}{API}/execute", json=body, headers={"Idempotency-Key": key}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return int(answer.json()["id"])

    def post_all(self, workflows: dict[str, dict[str, Any]]) -> list[int]:
        with ThreadPoolExecutor(20) as pool:
            return list(pool.map(lambda pair: self.post(pair[1], pair[0]), workflows.items()))

    def states(self, job_ids: list[int]) -> list[str]:
        """The jobs' states; none while nobody answers."""
        try:
            answer = httpx.get(f"{self.url}{API}/jobs?limit=200", timeout=5)
            known = {job["id"]: job["status"] for job in answer.json()["jobs"]}
        except (httpx.HTTPError, ValueError, KeyError):
            return []
        return [known[job_id] for job_id in job_ids]

    def wait_until(self, job_ids: list[int], done: Any, within_s: float) -> float:
        """Until `done` says so of the states; the seconds that it took."""
        began = time.monotonic()
        while not (states := self.states(job_ids)) or not done(states):
            assert time.monotonic() - began < within_s, states
            time.sleep(0.2)
        return time.monotonic() - began

    def wait_for_progress(self, job_id: int) -> None:
        """Until the job's sampler has made a step."""
        url = f"{self.url}{API}/events/{job_id}"
        with httpx.stream("GET", url, timeout=120) as answer:
            assert "event: progress" in answer.iter_lines()

    def fetch(self, job_id: int) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}{API}/fetch/{job_id}", timeout=60).json()
        return answer

    def files(self, job_id: int) -> list[Path]:
        """What lies in the job's folder."""
        folder = self.folder / "data" / "outputs" / "local" / str(job_id)
        return [path for path in folder.rglob("*") if path.is_file()]

    def epochs(self, job_ids: list[int]) -> list[int]:
        """How often each job was begun."""
        with sqlite3.connect(self.folder / "data" / "comfyray.sqlite") as database:
            found = dict(database.execute("SELECT id, epoch FROM jobs"))
        return [found[job_id] for job_id in job_ids]

    def _hook(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}/hook"

    def _settings(self) -> dict[str, str]:
        return {
            "COMFYRAY_AUTH": "off",
            "COMFYRAY_DATA_DIR": str(self.folder / "data"),
            "COMFYRAY_MODELS_DIR": str(self.models),
            "COMFYRAY_ALLOWED_HOSTS": f"127.0.0.1:{self.receiver.port}",
        }

    def _config(self) -> Path:
        """The one that is served by default, with room for all jobs at once."""
        config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
        config["applications"][0]["args"]["router"]["max_running_jobs"] = 24
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        return path


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
