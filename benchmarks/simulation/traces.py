"""When jobs arrive: seconds from the start, in order."""

import math
import random
from collections.abc import Callable, Mapping

DAY_S = 24 * 3600
DAY_RUNS_IN_S = 1800.0  # a day of a trace is played in half an hour
NIGHT = 0.15  # of the rate at noon
BURST = 8.0  # times the rate between bursts
BURST_S, BETWEEN_S = 20.0, 100.0


def poisson(rate: float, jobs: int, draws: random.Random) -> list[float]:
    """Each independent of the others."""
    at, times = 0.0, []
    for _ in range(jobs):
        at += draws.expovariate(rate)
        times.append(at)
    return times


def varying(jobs: int, draws: random.Random, rate_at: Callable[[float], float]) -> list[float]:
    """Poisson with a rate that changes, of which `rate_at` says what it is at a time (thinning)."""
    most = max(rate_at(second) for second in range(int(DAY_RUNS_IN_S)))
    at, times = 0.0, list[float]()
    while len(times) < jobs:
        at += draws.expovariate(most)
        if draws.random() * most < rate_at(at):
            times.append(at)
    return times


def bursts(rate: float, jobs: int, draws: random.Random) -> list[float]:
    """Twenty seconds of two minutes have eight times the arrivals of others; `rate` on average."""
    period = BURST_S + BETWEEN_S
    low = rate * period / (BETWEEN_S + BURST * BURST_S)
    return varying(jobs, draws, lambda at: low * (BURST if at % period < BURST_S else 1.0))


def day(rate: float, jobs: int, draws: random.Random) -> list[float]:
    """A day in half an hour: a night with few, a noon with many; `rate` on average."""
    mean = (1 + NIGHT) / 2

    def at_time(at: float) -> float:
        sun = (1 - math.cos(2 * math.pi * at / DAY_RUNS_IN_S)) / 2
        return rate * (NIGHT + (1 - NIGHT) * sun) / mean

    return varying(jobs, draws, at_time)


TRACES: Mapping[str, Callable[[float, int, random.Random], list[float]]] = {
    "poisson": poisson,
    "bursts": bursts,
    "day": day,
}
