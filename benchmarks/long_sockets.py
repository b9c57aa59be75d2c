"""What becomes of sockets that are silent for long, and of those that a redeploy closes.

Usage: . DATA_DIR/ray.env; python -m benchmarks.long_sockets BASE [IDLE_S] [SOCKETS] [CONFIG]

The environment needs the service's own COMFYRAY_* variables, as what is deployed anew reads them;
COMFYRAY_KEY is a key where keys are on.

Opens so many sockets (20) through Serve's proxy and leaves them alone for IDLE_S (60); then posts a
prompt for each, whose end it must hear. Then it posts a long prompt of one client, and deploys the
application of CONFIG (serve_config.yaml) anew on the Ray that ray.env names, while every client
connects again as soon as its socket is closed, as ComfyUI's editor does. Prints how many sockets
closed in silence, when they closed in the redeploy and with which code, how long each client was
without one, how many HTTP requests failed meanwhile, and whether the long prompt ended, with its
end told on the new socket, and how often it was begun.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from benchmarks.workflows import node

KEY = os.environ.get("COMFYRAY_KEY", "")
AGAIN_S = 0.2  # between tries to connect
ENDS_S = 600.0
STEPS = 4000  # of the long prompt
REDEPLOY = """
import sys, yaml, ray
from ray import serve
from ray.serve.context import _get_global_client
from deployments.local_ray import built, wait_until_running

ray.init(namespace="serve", log_to_driver=False)
config = yaml.safe_load(open(sys.argv[1]))
client = _get_global_client()
client.deploy_applications([built(entry) for entry in config["applications"]])
wait_until_running()
"""
SMALL = {
    "1": node("EmptyImage", width=16, height=16, batch_size=1, color=0),
    "2": node("PreviewImage", images=["1", 0]),
}


@dataclass
class Client:
    """One client, which always wants a socket."""

    base: str
    name: str
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    ended: dict[str, asyncio.Event] = field(  # of prompts that it heard the end of
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    begun: Counter[str] = field(default_factory=Counter)  # how often it heard their beginning
    closes: list[tuple[float, int]] = field(default_factory=list)  # when, and with which code
    without_s: list[float] = field(default_factory=list)

    async def listen(self) -> None:
        """Until it is cancelled."""
        url = f"{self.base.replace('http', 'ws', 1)}/ws?clientId={self.name}&token={KEY}"
        lost_s = 0.0
        while True:
            try:
                async with connect(url, ping_interval=None, max_size=None) as socket:
                    async for message in socket:
                        if lost_s:
                            self.without_s.append(time.monotonic() - lost_s)
                            lost_s = 0.0
                        self._hear(message)
                    self.closes.append((time.monotonic(), socket.close_code or 0))
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                self.closes.append((time.monotonic(), code))
            except (OSError, InvalidHandshake, TimeoutError):
                pass
            lost_s = lost_s or time.monotonic()
            await asyncio.sleep(AGAIN_S)

    def _hear(self, message: str | bytes) -> None:
        self.opened.set()
        told: dict[str, Any] = json.loads(message) if isinstance(message, str) else {}
        data = told.get("data", {})
        if told.get("type") == "execution_start":
            self.begun[data["prompt_id"]] += 1
        if told.get("type") == "executing" and data.get("node") is None:
            self.ended[data["prompt_id"]].set()


@dataclass
class Asked:
    """HTTP requests that are made all the time."""

    statuses: Counter[str] = field(default_factory=Counter)

    async def ask(self, http: httpx.AsyncClient) -> None:
        """Until it is cancelled."""
        while True:
            try:
                said = str((await http.get("/prompt")).status_code)
            except httpx.HTTPError as error:
                said = type(error).__name__
            self.statuses[said] += 1
            await asyncio.sleep(AGAIN_S)


@contextlib.asynccontextmanager
async def going(*works: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def posted(http: httpx.AsyncClient, prompt: dict[str, Any], client: Client) -> str:
    answer = await http.post("/prompt", json={"prompt": prompt, "client_id": client.name})
    return str(answer.raise_for_status().json()["prompt_id"])


async def until_heard(client: Client, prompt_id: str, within_s: float = ENDS_S) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await client.ended[prompt_id].wait()
    except TimeoutError:
        return False
    return True


def long_prompt(checkpoint: str) -> dict[str, Any]:
    sampled = node(
        "KSampler",
        model=["1", 0],
        positive=["2", 0],
        negative=["2", 0],
        latent_image=["3", 0],
        seed=time.time_ns() % 2**40,
        steps=STEPS,
        cfg=4.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
    )
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": node("CLIPTextEncode", text="a fox", clip=["1", 1]),
        "3": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "4": sampled,
        "5": node("VAEDecode", samples=["4", 0], vae=["1", 2]),
        "6": node("PreviewImage", images=["5", 0]),
    }


async def idle(http: httpx.AsyncClient, clients: list[Client], idle_s: float) -> None:
    await asyncio.sleep(idle_s)
    closed = sum(len(client.closes) for client in clients)
    began_s = time.monotonic()
    ids = [await posted(http, SMALL, client) for client in clients]
    heard = await asyncio.gather(
        *(until_heard(client, one, 120) for client, one in zip(clients, ids, strict=True))
    )
    print(f"silent for {idle_s:.0f} s: {closed} of {len(clients)} sockets closed")
    print(f"prompts after it: {sum(heard)} heard of, in {time.monotonic() - began_s:.1f} s")


async def redeploy(http: httpx.AsyncClient, clients: list[Client], config: Path) -> None:
    checkpoint = (await http.get("/models/checkpoints")).json()[0]
    long = await posted(http, long_prompt(checkpoint), clients[0])
    asked, began_s = Asked(), time.monotonic()
    async with going(asked.ask(http)):
        command = [sys.executable, "-c", REDEPLOY, str(config)]
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
        code = await process.wait()
        took_s = time.monotonic() - began_s
        heard = await until_heard(clients[0], long)
    closes = [one for client in clients for one in client.closes if one[0] > began_s]
    without = [one for client in clients for one in client.without_s]
    print(f"redeployed in {took_s:.1f} s (exit status {code})")
    if closes:
        first, last = min(closes)[0] - began_s, max(closes)[0] - began_s
        codes = dict(Counter(code for _, code in closes))
        print(f"{len(closes)} closes, {first:.1f} to {last:.1f} s after it began, codes {codes}")
    if without:
        print(f"without a socket: median {median(without):.2f} s, longest {max(without):.2f} s")
    print(f"HTTP meanwhile: {dict(asked.statuses)}")
    entry = (await http.get(f"/history/{long}")).json().get(long, {})
    status = entry.get("status", {}).get("status_str", "missing")
    begun = clients[0].begun[long]
    said = "heard" if heard else "not heard"
    print(f"the prompt that ran: {status}, begun {begun} times, its end {said}")
    ids = [await posted(http, SMALL, client) for client in clients]
    told = await asyncio.gather(
        *(until_heard(client, one, 120) for client, one in zip(clients, ids, strict=True))
    )
    print(f"prompts after it: {sum(told)} of {len(clients)} heard of")


async def main(base: str, idle_s: float, sockets: int, config: Path) -> None:
    headers = {"X-API-Key": KEY} if KEY else {}
    clients = [Client(base, f"long-{k}") for k in range(sockets)]
    async with (
        httpx.AsyncClient(base_url=base, timeout=60, headers=headers) as http,
        going(*(client.listen() for client in clients)),
    ):
        await asyncio.gather(*(client.opened.wait() for client in clients))
        await idle(http, clients, idle_s)
        await redeploy(http, clients, config)


if __name__ == "__main__":
    base, *rest = sys.argv[1:]
    given = [*rest, *("60", "20", "serve_config.yaml")[len(rest) :]]
    asyncio.run(main(base, float(given[0]), int(given[1]), Path(given[2])))
