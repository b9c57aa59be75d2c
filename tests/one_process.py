"""The router and its stages in one process without Ray: `python -m tests.one_process PORT`.

What a browser or a client program talks to in tests: the same routes, jobs, stages and stores as in
the application, ready in seconds. Settings come from the environment, as the application's do; each
pack of COMFYRAY_PACKS_DIR is allowed, with its routes, and has one process for all.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import uvicorn
from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from demo.in_process import Fused, Memory
from deployments.app import FUSED
from deployments.config import AppConfig, PackConfig
from deployments.event_batches import EventBatch
from deployments.pack_host import PackHost, PackSite
from deployments.router import Router
from deployments.settings import Settings
from deployments.site import Site
from graph.cache import Handle
from graph.plan import Segment
from graph.prompt import Source
from graph.stages import Stage
from packs.allowed import found_packs
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


@dataclass(frozen=True)
class Broadcast:
    """What every replica answers: there is one."""

    answer: Awaitable[Any]

    async def results_async(self, *, return_exceptions: bool) -> list[Any]:
        del return_exceptions
        return [await self.answer]


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

    def broadcast(self, method: str) -> "Broadcast":
        return Broadcast(getattr(self._stages, method)())

    def remote(self, segment: Segment, inputs: Mapping[Source, Handle]) -> Stream:
        return Stream(self._stages.run(segment, inputs))


@dataclass(frozen=True)
class Method:
    """A method as a handle has it: `remote` calls it."""

    call: Callable[..., Any]

    def remote(self, *args: Any) -> Any:
        return self.call(*args)


class PackHandle:
    """What the router takes for the handle of a pack's deployment."""

    def __init__(self, pack: PackHost, name: str) -> None:
        self.deployment_name = name
        self._pack = pack

    def options(self, **_: Any) -> Self:
        return self

    def broadcast(self, method: str) -> Broadcast:
        return Broadcast(getattr(self._pack, method)())

    def __getattr__(self, name: str) -> Method:
        return Method(getattr(self._pack, name))

    @property
    def run(self) -> Method:
        return Method(lambda segment, inputs: Stream(self._pack.run(segment, inputs)))


def pack_hosts(
    settings: Settings, site: Site, stages: Mapping[Stage, DeploymentHandle[Any]]
) -> dict[str, tuple[DeploymentHandle[Any], float]]:
    """The packs of COMFYRAY_PACKS_DIR, all of them allowed."""
    if settings.packs_dir is None:
        return {}
    where = PackSite(settings.packs_dir.resolve(), settings.data_dir.resolve() / "packs")
    hosts = {}
    for found in found_packs(where.folder, {}):
        config = PackConfig(hash=found.hash, shared=True, routes=True)
        host = PackHost(found.name, config, where, site, stages, shelf=Memory())
        handle = cast(DeploymentHandle[Any], PackHandle(host, found.name))
        hosts[found.name] = (handle, config.hook_s)
    return hosts


def application() -> FastAPI:
    """The application. Called on the event loop that serves it."""
    settings, config = Settings(), AppConfig()
    site = Site(settings.models_dir.resolve(), settings.private_models_dir)
    handle = cast(DeploymentHandle[Any], StagesHandle(Fused(site, config)))
    stages = dict.fromkeys(FUSED, handle)
    packs = pack_hosts(settings, site, stages)
    router = Router(settings, config.router, stages, {}, {"": 1}, packs=packs)
    return router.__serve_build_asgi_app__()


def main() -> None:
    port = int(sys.argv[1])
    uvicorn.run("tests.one_process:application", factory=True, port=port, log_level="warning")


if __name__ == "__main__":
    main()
