"""Where jobs of six bases go: by cost, as Serve multiplexes, and at random, in simulated time.

Usage: python -m benchmarks.placement [RATE] [SAMPLERS]. Each sampler has a GPU and memory for three
of six bases, of which some are asked for more than others. `by cost` is the service's own code,
deployments/placement.py.
"""

import sys
from dataclasses import replace

from benchmarks.simulate import Load, Site, simulate, table
from benchmarks.simulation.profiles import GB, H200, MIXES
from benchmarks.simulation.service import POLICIES
from deployments.config import AppConfig

KEPT = 3  # bases in the memory of a sampler
JOBS = 800


def config(samplers: int) -> AppConfig:
    base = MIXES["six"][0].base
    others = {"num_gpus": 0.1, "max_replicas": samplers}
    return AppConfig.model_validate(
        {
            "profile": "cluster",
            "sampler": {
                "num_gpus": 0.7,
                "max_replicas": samplers,
                "memory_bytes": int(KEPT * base.weights_bytes + GB),
            },
            "encoder": others,
            "preprocessor": others,
            "upscaler": others,
        }
    )


def main() -> None:
    rate = float(sys.argv[1]) if len(sys.argv) > 1 else 0.6
    samplers = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    site = Site(H200, samplers, config(samplers))
    load = Load(MIXES["six"], "poisson", rate, JOBS)
    found = {
        name: simulate(replace(site, choose=choose), load) for name, choose in POLICIES.items()
    }
    print(table(found))


if __name__ == "__main__":
    main()
