"""How much time a warm request spends outside models: HTTP, planning, Ray, storing the picture.

Usage: python -m benchmarks.overhead http://127.0.0.1:8000[,http://127.0.0.1:8001] CHECKPOINT
[REQUESTS]

Posts a workflow of 7 nodes and one of 25 again and again, each time with another seed, and takes
from each request's time the time in which a text encoder, a diffusion model or an autoencoder was
at work, as the answer's timings tell. Several services are asked in turns. Run it on idle ones;
another load counts as overhead. What counts less of it is the processor time of the service's
router, which is told too where the service is on this machine.
"""

import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.neighbour import routers
from benchmarks.workflows import node, text_to_image

MODEL_STAGES = {"encode", "sample"}
TURNS = 3
Workflow = dict[str, Any]


def seven(checkpoint: str, seed: int) -> dict[str, Any]:
    """Text to image, the prompts new each time."""
    return text_to_image(checkpoint, seed=seed, prompt=f"a red fox, take {seed}", cfg=1.0, steps=1)


def twenty_five(checkpoint: str, seed: int) -> dict[str, Any]:
    """The same picture, edited three ways, with primitives for every number."""
    nodes = seven(checkpoint, seed)
    nodes["8"] = node("PrimitiveInt", value=seed)
    nodes["5"]["inputs"]["seed"] = ["8", 0]
    nodes["9"] = node("PrimitiveFloat", value=1.0)
    nodes["5"]["inputs"]["cfg"] = ["9", 0]
    nodes["10"] = node("CLIPSetLastLayer", clip=["1", 1], stop_at_clip_layer=-1)
    nodes["2"]["inputs"]["clip"] = ["10", 0]
    for branch, first in enumerate((11, 16, 21)):
        chain = [
            node("ImageInvert", image=["6", 0]),
            node("ImageBlur", image=[str(first), 0], blur_radius=1 + branch, sigma=1.0),
            node(
                "ImageSharpen",
                image=[str(first + 1), 0],
                sharpen_radius=1,
                sigma=1.0,
                alpha=0.5,
            ),
            node(
                "ImageBlend",
                image1=[str(first + 2), 0],
                image2=["6", 0],
                blend_factor=0.5,
                blend_mode="normal",
            ),
            node("PreviewImage", images=[str(first + 3), 0]),
        ]
        nodes |= {str(first + k): one for k, one in enumerate(chain)}
    return nodes


def post(base: str, workflow: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds that the request took, and its answer."""
    body = json.dumps({"workflow": workflow, "wait": 60}).encode()
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/api/v7/comfyui/execute", body, head)
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    taken = time.perf_counter() - began
    if answer["status"] != "success":
        sys.exit(json.dumps(answer))
    return taken, answer


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of a union of intervals."""
    total, end = 0.0, 0.0
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def overhead_ms(base: str, workflow: Workflow) -> float:
    taken, answer = post(base, workflow)
    models = (
        (one["start_s"], one["end_s"])
        for one in answer["timings"]["nodes"]
        if one["stage"] in MODEL_STAGES and not one["cached"]
    )
    return 1000 * (taken - covered(models))


@dataclass
class Asked:
    """One service, and what its requests took, in milliseconds."""

    base: str
    outside_ms: list[float] = field(default_factory=list)
    router_cpu_ms: list[float] = field(default_factory=list)

    def ask(self, workflows: Iterable[Workflow]) -> None:
        """Post workflows, one after the other."""
        before, count = self._cpu_ms(), len(self.outside_ms)
        self.outside_ms += [overhead_ms(self.base, workflow) for workflow in workflows]
        taken = self._cpu_ms() - before
        self.router_cpu_ms.append(taken / (len(self.outside_ms) - count))

    def _cpu_ms(self) -> float:
        times = (router.cpu_times() for router in routers(self.base))
        return 1000 * sum(time.user + time.system for time in times)

    def __str__(self) -> str:
        taken = sorted(self.outside_ms)
        tenth, last = (taken[min(len(taken) - 1, int(part * len(taken)))] for part in (0.1, 0.99))
        return (
            f"p10 {tenth:.1f} ms, p50 {statistics.median(taken):.1f} ms, p99 {last:.1f} ms, "
            f"router {statistics.median(self.router_cpu_ms):.1f} ms of processor time, "
            f"n {len(taken)}"
        )


def compare(bases: Iterable[str], make: Callable[[int], Workflow], requests: int) -> None:
    """Ask services in turns, and print what they took."""
    asked = [Asked(base.rstrip("/")) for base in bases]
    new = int(time.time()) % 10**6 * 1000  # seeds that no earlier run had: results are kept
    for one in asked:
        for seed in range(3):  # warm
            post(one.base, make(new + seed))
    for turn in range(TURNS):
        first = new + 100 + turn * requests
        for one in asked:
            one.ask(make(first + k) for k in range(max(1, requests // TURNS)))
    for one in asked:
        print(f"  {one.base}: {one}")


def main() -> None:
    bases, checkpoint = sys.argv[1].split(","), sys.argv[2]
    requests = int(sys.argv[3]) if len(sys.argv) > 3 else 30
    for name, make in (("7 nodes", seven), ("25 nodes", twenty_five)):
        print(name)
        compare(bases, partial(make, checkpoint), requests)


if __name__ == "__main__":
    main()
