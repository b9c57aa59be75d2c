"""How soon, and how completely, clients hear of the steps of many jobs; and the router's memory.

Usage: python -m benchmarks.events [--sockets 200] [--streams 3] [--jobs 50] [--steps 20]
    [--every-s 0.25] [--running 16] [--rounds 3]

Starts the application as `make run` does, but for its sampler: a step is a pause of --every-s with
a preview of 8 KB, which carries the time. So what is measured is the way of events alone, from the
stage through Ray and the router to a client. Each job is followed by its client's WebSocket and by
so many event streams of /api/v7; the other WebSockets are clients without a job, which are told how
much is queued. Prints what was lost and the time from a step to its clients, for each round.
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from ray.serve import Application
from websockets.asyncio.client import connect

from benchmarks.startup import free_port, wait_until_served
from benchmarks.workflows import text_to_image
from deployments.app import bound
from deployments.config import AppConfig
from deployments.local_stages import LocalStages
from deployments.site import Site
from graph.events import Progress
from graph.plan import Segment
from graph.sampling import SampleRequest
from graph.segment_run import Report
from graph.stages import Stage
from graph.values import Latent

ROOT = Path(__file__).resolve().parent.parent
EVERY_S = "BENCHMARK_STEP_S"
PICTURE = b"\xff\xd8" + bytes(8192)
STAMP = struct.Struct(">d")
ROUTER = "ServeReplica:comfyray:Router"
MIB = 2**20
GIVE_UP_S = 600.0


class Beats:
    """The sampler's functions, of which `sample` waits instead of computing."""

    def __init__(self, functions: Any, node_id: str, report: Report) -> None:
        self._functions = functions
        self._node_id = node_id
        self._report = report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._functions, name)

    async def sample(self, request: SampleRequest) -> tuple[Latent, Latent]:
        of = len(request.sigmas) - 1
        for step in range(1, of + 1):
            await asyncio.sleep(float(os.environ[EVERY_S]))
            stamped = PICTURE + STAMP.pack(time.time())
            self._report(Progress(self._node_id, step, of, stamped))
        return request.latent, request.latent


class Metronome(LocalStages):
    """All stages in one deployment; sampling takes its time and no processor."""

    def __init__(self, site: Site, config: AppConfig) -> None:
        super().__init__(site, config)
        sampling = self.segments.places[Stage.SAMPLE]

        def beats(node_id: str, report: Report, segment: Segment) -> Beats:
            return Beats(sampling(node_id, report, segment), node_id, report)

        places = {**self.segments.places, Stage.SAMPLE: beats}
        self.segments = replace(self.segments, places=places)


def build(config: AppConfig) -> Application:
    """The application with a metronome for a sampler."""
    return bound(config, Metronome)


@dataclass
class Heard:
    """What one client was told of its job."""

    steps: list[int] = field(default_factory=list)
    delays_ms: list[float] = field(default_factory=list)
    ended: bool = False
    since: float = field(default_factory=time.time)  # a stream begins with what happened before

    def preview(self, picture: bytes) -> None:
        (sent,) = STAMP.unpack(picture[-STAMP.size :])
        if sent > self.since:
            self.delays_ms.append(1000 * (time.time() - sent))

    def lost(self, steps: int) -> int:
        """How many of its messages did not come, or came out of order."""
        return steps - len(set(self.steps)) + (self.steps != sorted(self.steps)) + (not self.ended)


async def listen(base: str, client_id: str, heard: Heard, opened: asyncio.Event) -> None:
    """A client's socket, until its job has ended."""
    url = f"{base.replace('http', 'ws', 1)}/ws?clientId={client_id}"
    async with connect(url, max_size=None, open_timeout=60) as socket:
        await socket.send(
            json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        )
        async for message in socket:
            if isinstance(message, bytes):
                heard.preview(message)
                continue
            told = json.loads(message)
            if told["type"] == "feature_flags":
                opened.set()
            elif told["type"] == "progress":
                heard.steps.append(told["data"]["value"])
            elif told["type"] == "executing" and told["data"]["node"] is None:
                heard.ended = True
                return


async def watch(base: str, client_id: str, opened: asyncio.Event, counts: list[int]) -> None:
    """A socket of a client without a job; `counts` are what it is told is queued."""
    url = f"{base.replace('http', 'ws', 1)}/ws?clientId={client_id}"
    async with connect(url, max_size=None, open_timeout=60) as socket:
        async for message in socket:
            told = json.loads(message)
            counts.append(told["data"]["status"]["exec_info"]["queue_remaining"])
            opened.set()


async def stream(client: httpx.AsyncClient, job_id: int, heard: Heard) -> None:
    """An event stream of /api/v7, to its end."""
    url = f"/api/v7/comfyui/events/{job_id}?preview=true"
    async with client.stream("GET", url) as response:
        heard.since = time.time()
        kind = ""
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data" and kind == "progress":
                data = json.loads(value)
                heard.steps.append(data["step"])
                if "preview" in data:
                    heard.preview(base64.b64decode(data["preview"].partition(",")[2]))
        heard.ended = kind == "success"


async def queued(client: httpx.AsyncClient, client_id: str, number: int, steps: int) -> int:
    """Post a job for a client; its id in /api/v7."""
    prompt = text_to_image(
        "comfyray-demo.safetensors", seed=number, prompt="a red circle", cfg=1.0, steps=steps
    )
    answer = await client.post("/prompt", json={"prompt": prompt, "client_id": client_id})
    prompt_id = answer.raise_for_status().json()["prompt_id"]
    (newest,) = (await client.get("/api/v7/comfyui/jobs", params={"limit": 1})).json()["jobs"]
    assert newest["prompt_id"] == prompt_id
    return int(newest["id"])


async def round_(options: argparse.Namespace, base: str, number: int) -> tuple[list[Heard], int]:
    """Post the jobs and follow them; what was heard, and watchers that were not told the end."""
    heard = [Heard() for _ in range(options.jobs)]
    followed = [Heard() for _ in range(options.jobs * options.streams)]
    counts: list[list[int]] = [[] for _ in range(options.sockets - options.jobs)]
    limits = httpx.Limits(max_connections=None)
    async with AsyncExitStack() as stack, asyncio.timeout(GIVE_UP_S):
        client = httpx.AsyncClient(base_url=base, limits=limits, timeout=None)
        await stack.enter_async_context(client)
        names = [uuid.uuid4().hex for _ in range(options.sockets)]
        opened = [asyncio.Event() for _ in names]
        waiting = [
            asyncio.create_task(watch(base, name, ready, told))
            for name, ready, told in zip(
                names[options.jobs :], opened[options.jobs :], counts, strict=True
            )
        ]
        listening = [
            asyncio.create_task(listen(base, name, one, ready))
            for name, one, ready in zip(names[: options.jobs], heard, opened, strict=False)
        ]
        await asyncio.gather(*(ready.wait() for ready in opened))
        streaming = []
        for k, name in enumerate(names[: options.jobs]):
            job_id = await queued(client, name, 10_000 * number + k, options.steps)
            mine = followed[k * options.streams : (k + 1) * options.streams]
            streaming += [asyncio.create_task(stream(client, job_id, one)) for one in mine]
        await asyncio.gather(*listening, *streaming)
        await asyncio.sleep(1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return heard + followed, sum(told[-1] != 0 for told in counts)


@contextmanager
def served(options: argparse.Namespace) -> Iterator[str]:
    """The application with a metronome, on a free port; its address."""
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    (application,) = config["applications"]
    application["import_path"] = "benchmarks.events:build"
    application["args"]["router"] |= {
        "max_running_jobs": options.running,
        "result_cache_bytes": MIB,  # it would grow to its bound, and hide what events leave behind
    }
    with tempfile.TemporaryDirectory() as folder:
        file, port = Path(folder, "config.yaml"), free_port()
        file.write_text(yaml.safe_dump(config))
        environment = os.environ | {
            "COMFYRAY_AUTH": "off",
            "COMFYRAY_DATA_DIR": f"{folder}/data",
            "COMFYRAY_MODELS_DIR": str(ROOT / "models"),
            EVERY_S: str(options.every_s),
        }
        command = [sys.executable, "-m", "deployments.launch", "--port", str(port)]
        process = psutil.Popen(
            [*command, "--config", str(file)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_served(process, url)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def router(port: int) -> psutil.Process:
    """The process that answers on `port`'s application."""
    launched = next(
        one
        for one in psutil.process_iter(["cmdline"])
        if "deployments.launch" in (one.info["cmdline"] or ()) and str(port) in one.info["cmdline"]
    )
    return next(
        one for one in launched.children(recursive=True) if ROUTER in " ".join(one.cmdline())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("sockets", 200), ("streams", 3), ("jobs", 50), ("steps", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--running", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every-s", type=float, default=0.25)
    options = parser.parse_args()
    with served(options) as base:
        process = router(int(base.rpartition(":")[2]))
        print(f"router: {process.memory_info().rss / MIB:.0f} MiB before", flush=True)
        for number in range(options.rounds):
            began, used = time.monotonic(), sum(process.cpu_times()[:2])
            heard, uninformed = asyncio.run(round_(options, base, number))
            delays = sorted(delay for one in heard for delay in one.delays_ms)
            p99 = delays[int(0.99 * len(delays))]
            print(
                f"{len(heard)} followers, {options.jobs} jobs in {time.monotonic() - began:.1f} s: "
                f"lost {sum(one.lost(options.steps) for one in heard)}, "
                f"watchers not told the end {uninformed}, {len(delays)} previews, step to client "
                f"p50 {statistics.median(delays):.0f} p99 {p99:.0f} max {delays[-1]:.0f} ms; "
                f"router {sum(process.cpu_times()[:2]) - used:.1f} processor-s, "
                f"{process.memory_info().rss / MIB:.0f} MiB, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
