"""How long one hop to a pack's process and back takes: `python -m benchmarks.packs`.

With `--plans` what packs cost workflows that use none: reading, checking and planning one of
twenty-five nodes with our own node types alone, and beside those of packs, in turns.

A picture of one megapixel (12 MB) goes from an array in this process to a node that copies it, and
comes back as an array: encoding, both ways, the node, and decoding with its checks. What Ray adds
between a router and the pack's replica is that of any stage (benchmarks/overhead.py).
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.preparing import runner
from benchmarks.workflows import node
from deployments.pack_arrays import array_of, parts_of
from deployments.pack_types import NodeTypes, pack_type
from deployments.transport import Array
from graph.nodes import load_node_types
from packs.confinement.confine import Confinement
from packs.process import OURS, ROOT, PackProcess, Starting
from packs.results import ResultReader
from packs.travel import Traveller

FOLDER = Path(__file__).parent / "hop_pack"
PACK_NODES = 800  # as many as seven popular packs have


@dataclass(frozen=True)
class Hops:
    """The seconds that each hop took, and the processor's that all took here and in the pack."""

    took_s: list[float]
    own_cpu_s: float
    pack_cpu_s: float


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def hops(count: int, side: int, scratch: Path) -> Hops:
    """So many hops, one after another, and as many before them that are not counted."""
    readable = (*(str(ROOT / name) for name in OURS), str(FOLDER))
    limits = Confinement(readable, (), 4 * 2**30, 2**30)
    process = PackProcess(Starting("hop_pack", FOLDER, scratch, {"core": {}}, limits))
    await process.start()
    try:
        (one,) = (await process.call("describe", {}, deadline_s=60)).said["nodes"]
        traveller = Traveller("hop_pack", "one", parts_of, array_of)
        reader = ResultReader("hop_pack", pack_type("hop_pack", one), traveller)
        pixels = np.random.default_rng(0).random((1, side, side, 3), dtype=np.float32)
        image, took = Array(pixels, "float32"), []
        for k in range(2 * count):
            if k == count:
                before = cpu_s(os.getpid()), cpu_s(process.pid)
            began = time.perf_counter()
            encoder = traveller.encoder()
            said = {
                "class": "Hop",
                "owner": "me",
                "node": "1",
                "inputs": {"image": traveller.encode(encoder, image)},
            }
            back = reader.read(await process.call("run", said, encoder.buffers, deadline_s=60))
            took.append(time.perf_counter() - began)
            assert k or np.array_equal(back.data, pixels)
        own, pack = cpu_s(os.getpid()) - before[0], cpu_s(process.pid) - before[1]
        return Hops(took[count:], own, pack)
    finally:
        process.end("was measured")


def chain(length: int) -> dict[str, Any]:
    """A workflow of our own nodes."""
    nodes = {"0": node("EmptyImage", width=64, height=64, batch_size=1, color=0)}
    for k in range(1, length - 1):
        nodes[str(k)] = node("ImageInvert", image=[str(k - 1), 0])
    return nodes | {"end": node("SaveImage", images=[str(length - 2), 0], filename_prefix="a")}


def plans(count: int) -> None:
    """Print the processor's time of each way, the median of so many turns."""
    own = load_node_types()
    beside = NodeTypes(own)
    entry: dict[str, Any] = {"input": {"required": {"image": ["IMAGE", {}]}}, "output": ["IMAGE"]}
    many = [{"entry": {**entry, "name": f"Node {k}"}} for k in range(PACK_NODES)]
    beside.put("many", {str(one["entry"]["name"]): pack_type("many", one) for one in many})
    took: dict[str, list[float]] = {"our own alone": [], f"and {PACK_NODES} of packs": []}
    workflow = chain(25)
    with tempfile.TemporaryDirectory() as models:
        runners = [replace(runner(Path(models)), node_types=types) for types in (own, beside)]
        for k in range(count + 10):
            for name, one in zip(took, runners, strict=True):
                began = time.process_time()
                asyncio.run(one.prepare("me", {"workflow": workflow}))
                took[name] += [time.process_time() - began] if k >= 10 else []
    for name, times in took.items():
        print(f"{name}: {1000 * statistics.median(times):.2f} ms of a processor")


def main() -> None:
    """Print the median and the 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--side", type=int, default=1024, help="of the picture, in pixels")
    parser.add_argument("--plans", action="store_true", help="measure plans instead")
    given = parser.parse_args()
    if given.plans:
        plans(given.count)
        return
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(hops(given.count, given.side, Path(scratch)))
    ms = sorted(1000 * one for one in found.took_s)
    print(f"{len(ms)} hops of {given.side} x {given.side} pixels, in ms:")
    print(f"p50 {statistics.median(ms):.1f}, p95 {ms[int(0.95 * len(ms))]:.1f}, best {ms[0]:.1f}")
    own, pack = (1000 * one / len(ms) for one in (found.own_cpu_s, found.pack_cpu_s))
    print(f"CPU per hop: {own:.1f} in the process that asks, {pack:.1f} in the pack's")


if __name__ == "__main__":
    main()
