"""The simulator behind docs/sizing.md."""

import random
from dataclasses import replace

import pytest

from benchmarks.placement import config
from benchmarks.simulate import Load, Site, simulate
from benchmarks.simulation.clock import Clock, Device
from benchmarks.simulation.profiles import H200, MIXES, SDXL, Workflow
from benchmarks.simulation.service import POLICIES, Job, Sampler
from benchmarks.simulation.traces import TRACES

GPUS = 4
ONE = [Workflow("sdxl", SDXL, 1.0)]


def test_work_that_shares_a_device_slows_down_evenly() -> None:
    clock, ends = Clock(), []
    device = Device(clock)
    device.work(2.0, lambda: ends.append(clock.now))
    clock.at(1.0, lambda: device.work(2.0, lambda: ends.append(clock.now)))
    clock.run()
    assert ends == [pytest.approx(3.0), pytest.approx(4.0)]
    assert device.busy_s == pytest.approx(4.0)


@pytest.mark.parametrize("whole", [False, True])
def test_a_job_that_is_alone_takes_what_its_stages_take(whole: bool) -> None:
    site = Site(H200, GPUS, None if whole else config(GPUS))
    report = simulate(site, Load(ONE, "poisson", rate=0.001, jobs=20))
    assert report.p50_s == pytest.approx(ONE[0].unloaded_s + H200.overhead_s)


def test_jobs_of_one_base_share_steps() -> None:
    clock = Clock()
    sampler = Sampler(clock, Device(clock), SDXL.weights_bytes, 64, {SDXL.name: SDXL})
    for _ in range(2):
        sampler.sample(Job(ONE[0], 0.0), lambda: None)
    clock.run()
    # The first one had begun alone, and so the second one ends alone.
    assert clock.now == pytest.approx(29 * SDXL.seconds_of_step(2) + 2 * SDXL.step_s)


def test_the_same_seed_gives_the_same_report_and_placing_by_cost_is_best() -> None:
    load = Load(MIXES["six"], "poisson", rate=0.6, jobs=250)
    site = Site(H200, GPUS, config(GPUS))
    found = {
        name: simulate(replace(site, choose=choose), load) for name, choose in POLICIES.items()
    }
    assert found["by cost"] == simulate(site, load)
    assert found["by cost"].loads < found["random"].loads
    assert found["by cost"].p95_s < min(found["random"].p95_s, found["multiplexed"].p95_s)


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_jobs_arrive_at_the_rate_that_is_asked_for(trace: str, rate: float) -> None:
    times = TRACES[trace](rate, 2000, random.Random(1))
    assert times == sorted(times)
    assert len(times) / times[-1] == pytest.approx(rate, rel=0.1)
