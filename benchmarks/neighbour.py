"""What one tenant's attacks cost another, and the router's memory.

Usage: python -m benchmarks.neighbour BASE KEY OTHER_KEY [SECONDS] [ATTACK ...]

KEY's owner attacks, again and again for so many seconds (15), each attack in turn: large bodies
without and with a key, a free dry run of 5,000 nodes four at a time, previews of a picture of 64
million pixels, pickled models that unfold. OTHER_KEY's owner posts jobs of two nodes and lists its
jobs meanwhile. Prints the other's median and 99th percentile, quiet and under each attack, and the
router's resident memory. Run it on the service's own machine, with keys on and rates not limited.
"""

import io
import json
import os
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing import get_context

import httpx
import psutil
from PIL import Image

from benchmarks.shapes import many_outputs
from benchmarks.workflows import node

API = "/api/v7/comfyui"
ROUTER = "ServeReplica:comfyray:Router"
AT_ONCE = 4
LOW = 15
PAUSE_S = 0.02  # between a neighbour's requests
REST_S = 8.0  # after which memory is looked at
STARTS_S = 2.0  # within which the attacker is at work


@dataclass
class Neighbour:
    """Posts small jobs and reads, and notes how long each answer takes."""

    base: str
    key: str
    taken_s: list[float] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)

    def live(self, until: Callable[[], bool]) -> None:
        """Go on until told to stop."""
        with httpx.Client(base_url=self.base, headers={"X-API-Key": self.key}) as client:
            number = 0
            while not until():
                number += 1
                nodes = {
                    "1": node("EmptyImage", width=16, height=16, batch_size=1, color=number),
                    "2": node("PreviewImage", images=["1", 0]),
                }
                self._ask(client, "POST", f"{API}/execute", {"workflow": nodes, "wait": 10})
                self._ask(client, "GET", f"{API}/jobs?limit=5", None)
                time.sleep(PAUSE_S)

    def _ask(self, client: httpx.Client, method: str, path: str, body: object) -> None:
        began = time.monotonic()
        answer = client.request(method, path, json=body, timeout=300)
        self.taken_s.append(time.monotonic() - began)
        if answer.status_code != 200:
            self.failed.append(answer.status_code)

    def percentile_s(self, percent: int) -> float:
        """How long the slower ones took."""
        return sorted(self.taken_s)[min(len(self.taken_s) - 1, len(self.taken_s) * percent // 100)]


Attack = Callable[[httpx.Client], None]


def _post_raw(client: httpx.Client, body: bytes) -> None:
    client.post(f"{API}/execute", content=body, headers={"Content-Type": "application/json"})


@cache
def _small_values() -> bytes:
    return b'{"a":[' + b"[]," * (5 * 10**6) + b"[]]}"


@cache
def _dry_run() -> bytes:
    return json.dumps(many_outputs(4980)).encode()


def strangers_bodies(client: httpx.Client) -> None:
    """15 MB of small values, without a key."""
    with httpx.Client(base_url=client.base_url, timeout=300) as stranger:
        _post_raw(stranger, _small_values())


def bodies(client: httpx.Client) -> None:
    """As many values as are read."""
    _post_raw(client, b'{"a":[' + b'{"b":1},' * 300_000 + b"1]}")


def dry_runs(client: httpx.Client) -> None:
    """2,490 outputs of a chain of as many nodes."""
    _post_raw(client, _dry_run())


def previews(client: httpx.Client) -> None:
    """A picture of 2.5 KB and 64 million pixels."""
    quality = time.monotonic_ns() % 90 + 10  # so that none was made before
    client.get(f"/view?filename=neighbour.webp&type=input&preview=webp;{quality}")


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _named(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def _tensor(key: bytes, shape: tuple[int, ...]) -> bytes:
    """A pickled tensor of 16 numbers whose strides are 0, so that it may claim any shape."""
    storage = b"(" + _text("storage") + _named("torch", "FloatStorage") + key + _text("cpu")
    sides, strides = b"".join(map(_number, shape)), _number(0) * len(shape)
    return (
        _named("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + (storage + _number(16) + b"tQ")
        + (_number(0) + b"(" + sides + b"t(" + strides + b"t\x89")
        + (_named("collections", "OrderedDict") + b")RtR")
    )


def _checkpoint(tensors: Mapping[str, bytes]) -> bytes:
    program = b"".join(_text(name) + tensor for name, tensor in tensors.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}(" + program + b"u.")
        archive.writestr("archive/data/0", b"\0" * 64)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def _upload(client: httpx.Client, content: bytes) -> None:
    files = {"file": ("x.pt", content)}
    answer = client.post("/api/v7/models", files=files, data={"folder": "loras"})
    if answer.status_code == 201:
        client.delete(f"/api/v7/models/{answer.json()['model']['id']}")


def pickled_keys(client: httpx.Client) -> None:
    """A storage whose key is pairs of pairs, 2**18 in all."""
    key = _text("x" * 10) + b"q\x00h\x00\x86" * 18
    _upload(client, _checkpoint({"lora_unet_a.lora_up.weight": _tensor(key, (4, 4))}))


def zero_strides(client: httpx.Client) -> None:
    """A LoRA of 940 bytes whose tensors claim gigabytes."""
    up, down = (f"lora_unet_conv_out.lora_{side}.weight" for side in ("up", "down"))
    rank, key = 200_000, _text("0")
    tensors = {up: _tensor(key, (4, rank, 1, 1)), down: _tensor(key, (rank, 64, 3, 3))}
    _upload(client, _checkpoint(tensors))


ATTACKS: Mapping[str, Attack] = {
    attack.__name__: attack
    for attack in (strangers_bodies, bodies, dry_runs, previews, pickled_keys, zero_strides)
}


def attack_for_ever(base: str, key: str, name: str) -> None:
    """Several at once, again and again; one after the other for each.

    At a low priority: what is measured is what the service does, not that programs share cores.
    """
    os.nice(LOW)

    def go_on() -> None:
        headers = {"X-API-Key": key}
        with httpx.Client(base_url=base, headers=headers, timeout=300) as client:
            while True:
                with suppress(httpx.HTTPError):
                    ATTACKS[name](client)
                time.sleep(PAUSE_S)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(AT_ONCE):
            pool.submit(go_on)


@contextmanager
def attacked(base: str, key: str, name: str) -> Iterator[None]:
    """In a process of its own, so that only the service is shared with whoever is measured."""
    if not name:
        yield
        return
    attacker = get_context("spawn").Process(target=attack_for_ever, args=(base, key, name))
    attacker.start()
    time.sleep(STARTS_S)
    try:
        yield
    finally:
        attacker.kill()
        attacker.join()


def routers(base: str) -> list[psutil.Process]:
    """The service's routers: its proxy's siblings, of that name. None of a service elsewhere."""
    port = httpx.URL(base).port
    listening = [
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == port
    ]
    parents = [psutil.Process(pid).parent() for pid in listening[:1]]
    siblings = [it for parent in parents if parent for it in parent.children()]
    return [it for it in siblings if ROUTER in " ".join(it.cmdline())]


def router_mib(base: str) -> float:
    """The resident memory of the service's routers."""
    return float(sum(it.memory_info().rss for it in routers(base))) / 2**20


def measure(base: str, keys: tuple[str, str], attack: str, for_s: float) -> Neighbour:
    """How a neighbour fares for so long."""
    neighbour = Neighbour(base, keys[1])
    with attacked(base, keys[0], attack):
        end = time.monotonic() + for_s
        neighbour.live(lambda: time.monotonic() > end)
    return neighbour


def prepare(base: str, key: str) -> None:
    """Upload the picture that is previewed."""
    buffer = io.BytesIO()
    Image.new("RGB", (8000, 8000)).save(buffer, "WEBP", lossless=True)
    files = {"image": ("neighbour.webp", buffer.getvalue())}
    httpx.post(f"{base}/upload/image", headers={"X-API-Key": key}, files=files, timeout=60)


def main(base: str, key: str, other: str, for_s: str = "15", *names: str) -> None:
    prepare(base, key)
    show = partial(print, flush=True)
    measure(base, (key, other), "", 3.0)  # warm
    for name in names or ATTACKS:
        quiet = measure(base, (key, other), "", float(for_s) / 2)
        before = router_mib(base)
        hurt = measure(base, (key, other), name, float(for_s))
        time.sleep(REST_S)
        facts = {
            "attack": name,
            "quiet_ms": [round(1000 * quiet.percentile_s(p)) for p in (50, 99)],
            "hurt_ms": [round(1000 * hurt.percentile_s(p)) for p in (50, 99)],
            "ratio_p99": round(hurt.percentile_s(99) / quiet.percentile_s(99), 2),
            "requests": len(hurt.taken_s),
            "failed": sorted(set(hurt.failed)),
            "router_mib": [round(before), round(router_mib(base))],
        }
        show(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
