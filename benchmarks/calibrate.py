"""Holds the simulator to a real run: the same jobs at the same times, of a service and simulated.

Usage: python -m benchmarks.calibrate http://127.0.0.1:8000 CHECKPOINT [RATE] [JOBS]
    [--config serve_config.yaml]

It measures, with nothing else under way, how long each stage of a picture takes, and how a step
grows with the pictures in it, before the run and after it. In the run it posts jobs as a Poisson
process would, at RATE times what one after the other would be (0.7), and plays the same times in
simulate.py with the mean of both measurements. Printed are both, and their ratios; within 0.8 and
1.2 is wanted. Give the server, and the machine, no other work.
"""

import argparse
import itertools
import json
import random
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.simulation.clock import Clock, Device
from benchmarks.simulation.placing import deployed, read_config
from benchmarks.simulation.profiles import GB, Base, Hardware, Workflow
from benchmarks.simulation.service import Job, Service
from benchmarks.simulation.traces import poisson
from benchmarks.workflows import text_to_image

API = "/api/v7/comfyui"
STEPS = 20
TIMES = 5  # that one picture is measured
TOGETHER = 4  # pictures whose steps are shared, where that is measured
ENCODE, SAMPLE, DECODE, SAVE = "CLIPTextEncode", "KSampler", "VAEDecode", "SaveImage"


@dataclass
class Client:
    """Posts pictures of seeds of their own, and waits for each."""

    url: str
    checkpoint: str

    def __post_init__(self) -> None:
        self._seeds: Iterator[int] = itertools.count(int(time.time()))

    def picture(self, steps: int = STEPS) -> tuple[float, dict[str, float]]:
        """How long it took, and of that each kind of node."""
        seed = next(self._seeds)
        nodes = text_to_image(
            self.checkpoint, seed=seed, prompt=f"a red fox, take {seed}", cfg=4.0, steps=steps
        )
        body = json.dumps({"workflow": nodes, "wait": 60}).encode()
        asked = urllib.request.Request(
            f"{self.url}{API}/execute", body, {"Content-Type": "application/json"}
        )
        began = time.perf_counter()
        with urllib.request.urlopen(asked, timeout=120) as answer:
            told: dict[str, Any] = json.load(answer)
        took_s = time.perf_counter() - began
        assert told["status"] == "success", told
        of_kinds: dict[str, float] = {}
        for node in told["timings"]["nodes"]:
            kind = nodes[node["node_id"]]["class_type"]
            of_kinds[kind] = of_kinds.get(kind, 0.0) + node["end_s"] - node["start_s"]
        return took_s, of_kinds


def measured(client: Client) -> tuple[Workflow, Hardware]:
    """One picture's stages, and what shared steps cost."""
    for _ in range(2):
        client.picture()
    alone = [client.picture() for _ in range(TIMES)]

    def of(kind: str) -> float:
        return statistics.median(kinds.get(kind, 0.0) for _, kinds in alone)

    with ThreadPoolExecutor(TOGETHER) as pool:
        together = list(pool.map(lambda _: client.picture(4 * STEPS), range(TOGETHER)))
    step_s = of(SAMPLE) / STEPS
    several_s = statistics.median(kinds[SAMPLE] for _, kinds in together) / (4 * STEPS)
    # step(n) = step * (shared + (1 - shared) * n)
    shared = max(0.0, min(1.0, (TOGETHER - several_s / step_s) / (TOGETHER - 1)))
    whole_s = statistics.median(took for took, _ in alone)
    overhead_s = max(0.0, whole_s - sum(map(of, (ENCODE, SAMPLE, DECODE, SAVE))))
    base = Base("measured", GB, 0.0, step_s, shared, of(ENCODE), of(DECODE))
    return (
        Workflow("picture", base, 1.0, steps=STEPS, output_s=of(SAVE)),
        Hardware(64 * GB, per_hour=0.0, overhead_s=overhead_s),
    )


def between(
    before: tuple[Workflow, Hardware], after: tuple[Workflow, Hardware]
) -> tuple[Workflow, Hardware]:
    """The mean of two measurements."""

    def mean(*numbers: float) -> float:
        return statistics.fmean(numbers)

    (flow, hardware), (late, machine) = before, after
    own, other = flow.base, late.base
    base = replace(
        own,
        step_s=mean(own.step_s, other.step_s),
        shared=mean(own.shared, other.shared),
        encode_s=mean(own.encode_s, other.encode_s),
        decode_s=mean(own.decode_s, other.decode_s),
    )
    return (
        replace(flow, base=base, output_s=mean(flow.output_s, late.output_s)),
        replace(hardware, overhead_s=mean(hardware.overhead_s, machine.overhead_s)),
    )


def told(flow: Workflow, hardware: Hardware) -> str:
    base = flow.base
    return (
        f"step {base.step_s * 1000:.1f} ms, of which {base.shared:.0%} are shared; encode "
        f"{base.encode_s * 1000:.0f} ms, decode {base.decode_s * 1000:.0f} ms, save "
        f"{flow.output_s * 1000:.0f} ms, beside {hardware.overhead_s * 1000:.0f} ms"
    )


def real(client: Client, times: Sequence[float]) -> list[float]:
    """Latencies of jobs that are posted at these times."""
    began = time.monotonic()

    def one(at_s: float) -> float:
        time.sleep(max(0.0, began + at_s - time.monotonic()))
        client.picture()
        return time.monotonic() - began - at_s

    with ThreadPoolExecutor(len(times)) as pool:
        return list(pool.map(one, times))


def simulated(
    config: Path, flow: Workflow, hardware: Hardware, times: Sequence[float]
) -> list[float]:
    clock = Clock()
    own = deployed(read_config(config), clock, [Device(clock)])
    for sampler in own.samplers:
        sampler.bases[flow.base.name] = flow.base
    service = Service(clock, hardware, own, random.Random(1))
    jobs = [Job(flow, at) for at in times]

    def start(job: Job) -> None:
        def end() -> None:
            job.ended_s = clock.now

        service.run(job, end)

    for job in jobs:
        clock.at(job.arrived_s, partial(start, job))
    clock.run()
    return [job.latency_s for job in jobs]


def p95(found: Sequence[float]) -> float:
    return sorted(found)[int(len(found) * 0.95)]


FIGURES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "p50": statistics.median,
    "p95": p95,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("checkpoint")
    parser.add_argument("rate", type=float, nargs="?", default=0.7)
    parser.add_argument("jobs", type=int, nargs="?", default=60)
    parser.add_argument("--config", type=Path, default=Path("serve_config.yaml"))
    asked = parser.parse_args()
    client = Client(asked.url.rstrip("/"), asked.checkpoint)
    before = measured(client)
    print(told(*before))
    flow, hardware = before
    alone_s = flow.unloaded_s + hardware.overhead_s
    times = poisson(asked.rate / alone_s, asked.jobs, random.Random(7))
    here = real(client, times)
    after = measured(client)
    print(told(*after))
    there = simulated(asked.config, *between(before, after), times)
    for name, of in FIGURES.items():
        print(f"{name}: {of(here):.2f} s, simulated {of(there):.2f} s, {of(there) / of(here):.2f}")
    ends = [max(map(sum, zip(times, took, strict=True))) for took in (here, there)]
    print(f"all done: {ends[0]:.1f} s, simulated {ends[1]:.1f} s, {ends[1] / ends[0]:.2f}")


if __name__ == "__main__":
    main()
