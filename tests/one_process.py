"""The router and its stages in one process without Ray: `python -m tests.one_process PORT`.

What a browser or a client program talks to in tests: the same routes, jobs, stages and stores as in
the application, ready in seconds. Settings come from the environment, as the application's do.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

import uvicorn
from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from demo.in_process import Fused
from deployments.app import FUSED
from deployments.config import AppConfig
from deployments.event_batches import EventBatch
from deployments.router import Router
from deployments.settings import Settings
from deployments.site import Site
from graph.cache import Handle
from graph.plan import Segment
from graph.prompt import Source
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
READY_WITHIN_S = 180  # some seconds on a quiet machine


@contextmanager
def running(settings: Mapping[str, str]) -> Iterator[str]:
    """The application in a process of its own on a free port; its address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.one_process", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(process, url)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_healthy(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        assert process.poll() is None, "the application ended"
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            assert time.monotonic() < deadline, "the application is not ready"
            time.sleep(0.2)


class Stream:
    """A segment's events, which Ray's can be cancelled from outside too."""

    def __init__(self, events: AsyncGenerator[EventBatch, None]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncGenerator[EventBatch, None]:
        return self._events

    def cancel(self) -> None:
        """The generator is closed by who reads it."""


class StagesHandle:
    """What the router takes for the handle of a deployment with all stages."""

    deployment_name = "Stages"

    def __init__(self, stages: Fused) -> None:
        self._stages = stages

    def options(self, **_: Any) -> Self:
        return self

    @property
    def run(self) -> Self:
        return self

    def remote(self, segment: Segment, inputs: Mapping[Source, Handle]) -> Stream:
        return Stream(self._stages.run(segment, inputs))


def application() -> FastAPI:
    """The application. Called on the event loop that serves it."""
    settings, config = Settings(), AppConfig()
    site = Site(settings.models_dir.resolve(), settings.private_models_dir)
    handle = cast(DeploymentHandle[Any], StagesHandle(Fused(site, config)))
    router = Router(settings, config.router, dict.fromkeys(FUSED, handle), {}, {"": 1})
    return router.__serve_build_asgi_app__()


def main() -> None:
    port = int(sys.argv[1])
    uvicorn.run("tests.one_process:application", factory=True, port=port, log_level="warning")


if __name__ == "__main__":
    main()
