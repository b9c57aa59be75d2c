"""How long one hop to a pack's process and back takes: `python -m benchmarks.packs`.

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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from deployments.pack_arrays import array_of, parts_of
from deployments.pack_types import pack_type
from deployments.transport import Array
from packs.confinement.confine import Confinement
from packs.process import OURS, ROOT, PackProcess, Starting
from packs.results import ResultReader
from packs.travel import Traveller

FOLDER = Path(__file__).parent / "hop_pack"


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


def main() -> None:
    """Print the median and the 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--side", type=int, default=1024, help="of the picture, in pixels")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(hops(given.count, given.side, Path(scratch)))
    ms = sorted(1000 * one for one in found.took_s)
    print(f"{len(ms)} hops of {given.side} x {given.side} pixels, in ms:")
    print(f"p50 {statistics.median(ms):.1f}, p95 {ms[int(0.95 * len(ms))]:.1f}, best {ms[0]:.1f}")
    own, pack = (1000 * one / len(ms) for one in (found.own_cpu_s, found.pack_cpu_s))
    print(f"CPU per hop: {own:.1f} in the process that asks, {pack:.1f} in the pack's")


if __name__ == "__main__":
    main()
