"""When jobs arrive: seconds from the start, in order."""

import math
import random
from collections.abc import Callable, Mapping

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


def varying(
    jobs: int, draws: random.Random, most: float, rate_at: Callable[[float], float]
) -> list[float]:
    """Poisson with a rate that changes and is `most` at most (thinning)."""
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
    return varying(
        jobs, draws, low * BURST, lambda at: low * (BURST if at % period < BURST_S else 1.0)
    )


def day(rate: float, jobs: int, draws: random.Random) -> list[float]:
    """From noon to noon in fast motion: at night few, at noon many; `rate` on average."""
    mean, whole_s = (1 + NIGHT) / 2, jobs / rate

    def at_time(at: float) -> float:
        sun = (1 + math.cos(2 * math.pi * at / whole_s)) / 2
        return rate * (NIGHT + (1 - NIGHT) * sun) / mean

    return varying(jobs, draws, rate / mean, at_time)


TRACES: Mapping[str, Callable[[float, int, random.Random], list[float]]] = {
    "poisson": poisson,
    "bursts": bursts,
    "day": day,
}
