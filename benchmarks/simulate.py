"""What an installation can serve, in simulated time.

    python -m benchmarks.simulate cluster/kubernetes/gpu_pool/serve_config.yaml --gpus 4 --mix six
    python -m benchmarks.simulate CONFIG --gpus 4 --mix mixed --trace bursts --rate 1.5

Without --rate it looks for the highest rate at which nine of ten jobs take at most twice as long as
they would alone, of this service and of one whole-workflow worker per GPU. Deterministic by --seed.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.simulation.clock import Clock, Device, Then
from benchmarks.simulation.monoliths import Monoliths
from benchmarks.simulation.placing import deployed, read_config
from benchmarks.simulation.profiles import H200, MIXES, Hardware, Workflow
from benchmarks.simulation.service import POLICIES, Choose, Job, Service, by_cost
from benchmarks.simulation.traces import TRACES
from deployments.config import AppConfig

SLO = 2.0  # times the latency of a job that is alone
MET = 0.9  # of the jobs
WARM = 0.1  # of the jobs, the first, are not counted
JOBS = 1500
LEAST, MOST = 0.01, 1000.0  # jobs a second, between which a rate is looked for
FINEST = 0.02  # how exactly a rate is looked for


@dataclass(frozen=True)
class Report:
    """How a run went."""

    jobs: int
    rate: float  # jobs a second that were offered
    met: float  # the share of jobs within the SLO
    p50_s: float
    p95_s: float
    p99_s: float
    loads: int
    busy: float  # of the devices' time
    pictures_per_s: float
    per_1000_pictures: float  # money


@dataclass(frozen=True)
class Load:
    """What arrives when. `rate` is in jobs a second."""

    mix: Sequence[Workflow]
    trace: str
    rate: float
    jobs: int = JOBS
    seed: int = 1

    def made(self) -> list[Job]:
        draws = random.Random(self.seed)
        times = TRACES[self.trace](self.rate, self.jobs, draws)
        flows = draws.choices(self.mix, [flow.share for flow in self.mix], k=self.jobs)
        return [Job(flow, at) for flow, at in zip(flows, times, strict=True)]


@dataclass(frozen=True)
class Site:
    """What serves."""

    hardware: Hardware
    gpus: int
    config: AppConfig | None  # None: a whole-workflow worker per GPU
    choose: Choose = by_cost


def simulate(site: Site, load: Load) -> Report:
    """Play a load."""
    clock = Clock()
    devices = [Device(clock, site.hardware.lanes) for _ in range(site.gpus)]
    run: Callable[[Job, Then], None]
    loads: Callable[[], int]
    if site.config is None:
        whole = Monoliths(clock, site.hardware, devices)
        run, loads = whole.run, lambda: sum(one.loads for one in whole.workers)
    else:
        own = deployed(site.config, clock, devices)
        draws = random.Random(load.seed + 1)
        run = Service(clock, site.hardware, own, draws, site.choose).run
        loads = lambda: sum(one.loads for one in own.samplers)  # noqa: E731
    jobs = load.made()
    for job in jobs:
        clock.at(job.arrived_s, _starting(clock, run, job))
    clock.run()
    counted = jobs[int(len(jobs) * WARM) :]
    took = sorted(job.latency_s for job in counted)
    met = sum(job.latency_s <= SLO * job.workflow.unloaded_s for job in counted)
    ended_s = max(job.ended_s for job in jobs)
    pictures = sum(job.workflow.pictures for job in jobs)
    return Report(
        jobs=len(jobs),
        rate=load.rate,
        met=met / len(counted),
        p50_s=_at(took, 0.5),
        p95_s=_at(took, 0.95),
        p99_s=_at(took, 0.99),
        loads=loads(),
        busy=sum(device.busy_s for device in devices) / ended_s / len(devices),
        pictures_per_s=pictures / ended_s,
        per_1000_pictures=site.gpus * site.hardware.per_hour * ended_s / 3600 / pictures * 1000,
    )


def _starting(clock: Clock, run: Callable[[Job, Then], None], job: Job) -> Then:
    def end() -> None:
        job.ended_s = clock.now

    return lambda: run(job, end)


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def best_rate(site: Site, mix: Sequence[Workflow], trace: str, *, jobs: int, seed: int) -> Report:
    """The run at the highest rate at which the SLO is met, to a fiftieth."""

    def at(rate: float) -> Report:
        return simulate(site, Load(mix, trace, rate, jobs, seed))

    low, high = at(LEAST), at(2 * LEAST)
    if low.met < MET:
        sys.exit(f"the SLO is not met at {LEAST} jobs a second")
    while high.met >= MET:
        if high.rate > MOST:
            sys.exit(f"{jobs} jobs are too few to tell: the SLO is met at {MOST} a second")
        low, high = high, at(high.rate * 2)
    while high.rate - low.rate > FINEST * high.rate:
        middle = at((low.rate + high.rate) / 2)
        low, high = (middle, high) if middle.met >= MET else (low, middle)
    return low


def table(found: Mapping[str, Report]) -> str:
    """Markdown."""
    lines = [
        "| | jobs/s | within SLO | p50 s | p95 s | p99 s | loads | GPUs busy | per 1000 pictures |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found.items():
        cells = (
            f"{one.rate:.2f}",
            f"{one.met:.0%}",
            *(f"{seconds:.2f}" for seconds in (one.p50_s, one.p95_s, one.p99_s)),
            str(one.loads),
            f"{one.busy:.0%}",
            f"{one.per_1000_pictures:.2f}",
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--mix", choices=MIXES, default="one")
    parser.add_argument("--trace", choices=TRACES, default="poisson")
    parser.add_argument("--rate", type=float, help="jobs a second; else the best is looked for")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--placement", choices=POLICIES, default="by cost")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(given)
    sites = {
        "this service": Site(
            H200, asked.gpus, read_config(asked.config), POLICIES[asked.placement]
        ),
        "a worker per GPU": Site(H200, asked.gpus, None),
    }
    mix, more = MIXES[asked.mix], {"jobs": asked.jobs, "seed": asked.seed}
    found = {
        name: simulate(site, Load(mix, asked.trace, asked.rate, **more))
        if asked.rate
        else best_rate(site, mix, asked.trace, **more)
        for name, site in sites.items()
    }
    if asked.json:
        print(json.dumps({name: asdict(report) for name, report in found.items()}))
    else:
        print(table(found))
        ours, theirs = found.values()
        print(f"\n{ours.pictures_per_s / theirs.pictures_per_s:.2f} times the pictures a second")


if __name__ == "__main__":
    main()
