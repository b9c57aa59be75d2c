"""From a serve_config.yaml to replicas on devices, as Ray packs them by their shares."""

from pathlib import Path
from typing import Any

import yaml

from benchmarks.simulation.clock import Clock, Device
from benchmarks.simulation.service import Deployed, Sampler, Worker
from deployments.config import AppConfig, Size

CORES_OF_OUTPUT = 4


class DevicesFullError(Exception):
    """More shares than devices."""


def read_config(path: Path) -> AppConfig:
    """The application of a serve_config.yaml, or of a RayService's."""
    config: Any = yaml.safe_load(path.read_text())
    return AppConfig.model_validate(config["applications"][0]["args"])


def deployed(config: AppConfig, clock: Clock, devices: list[Device]) -> Deployed:
    """Every replica that the config allows, on as few devices as hold them; on cores, one device.

    Raises:
        DevicesFullError: they are more than fit.
    """
    free = [1.0] * len(devices)

    def place(size: Size) -> Device:
        if not size.num_gpus:
            return devices[0]
        for index, room in enumerate(free):
            if room + 1e-9 >= size.num_gpus:
                free[index] -= size.num_gpus
                return devices[index]
        raise DevicesFullError

    def samplers(size: Any) -> list[Sampler]:
        most = size.max_ongoing_requests
        return [
            Sampler(clock, place(size), size.memory_bytes, most) for _ in range(size.max_replicas)
        ]

    def workers(size: Size) -> list[Worker]:
        return [Worker(place(size)) for _ in range(size.max_replicas)]

    if config.profile == "local":
        lone = config.sampler.model_copy(update={"max_replicas": 1})
        one = Worker(devices[0])
        return Deployed(samplers(lone), {}, [one], [one], [one], [one])
    pinned = {name.rpartition(".")[0]: samplers(size) for name, size in config.pinned.items()}
    cores = Device(clock, lanes=CORES_OF_OUTPUT)
    return Deployed(
        samplers(config.sampler),
        pinned,
        workers(config.encoder),
        workers(config.preprocessor),
        workers(config.upscaler),
        [Worker(cores) for _ in range(config.output.max_replicas)],
    )
