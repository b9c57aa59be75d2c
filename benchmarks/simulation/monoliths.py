"""What is compared with: a worker per device that runs whole workflows, one after the other.

It has the whole card for its models and keeps those used last. Of the idle workers, one that has
the job's base takes it: what a good load balancer before ComfyUI can do.
"""

from dataclasses import dataclass, field

from benchmarks.simulation.clock import Clock, Device, Then
from benchmarks.simulation.profiles import Base, Hardware
from benchmarks.simulation.service import Job

WORKING_SHARE = 0.85  # of the card's memory, for weights; the rest is for steps


@dataclass(eq=False)
class Whole:
    """One worker."""

    device: Device
    bases: dict[str, Base] = field(default_factory=dict)  # the last used last
    busy: bool = False
    loads: int = 0


class Monoliths:
    """All workers, and the queue before them."""

    def __init__(self, clock: Clock, hardware: Hardware, devices: list[Device]) -> None:
        self._clock = clock
        self._hardware = hardware
        self.workers = [Whole(device) for device in devices]
        self._queue: list[tuple[Job, Then]] = []

    def run(self, job: Job, then: Then) -> None:
        self._queue.append((job, then))
        self._assign()

    def _assign(self) -> None:
        idle = [one for one in self.workers if not one.busy]
        while self._queue and idle:
            job, then = self._queue.pop(0)
            name = job.workflow.base.name
            worker = next((one for one in idle if name in one.bases), idle[0])
            idle.remove(worker)
            self._begin(worker, job, then)

    def _begin(self, worker: Whole, job: Job, then: Then) -> None:
        worker.busy = True
        base = job.workflow.base
        load_s = 0.0
        if base.name not in worker.bases:
            worker.loads += 1
            load_s = base.load_s + base.others_load_s
        worker.bases.pop(base.name, None)
        worker.bases[base.name] = base
        room = self._hardware.memory_bytes * WORKING_SHARE
        while len(worker.bases) > 1 and _bytes(worker) > room:
            del worker.bases[next(iter(worker.bases))]

        def done() -> None:
            worker.busy = False
            then()
            self._assign()

        work_s = job.workflow.unloaded_s
        wait_s = self._hardware.overhead_s + load_s
        self._clock.after(wait_s, lambda: worker.device.work(work_s, done))


def _bytes(worker: Whole) -> float:
    return sum(base.weights_bytes + base.others_bytes for base in worker.bases.values())
