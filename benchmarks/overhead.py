"""How much time a warm request spends outside models: HTTP, planning, Ray, storing the picture.

Usage: python -m benchmarks.overhead http://127.0.0.1:8000 CHECKPOINT [REQUESTS]

Posts a workflow of 7 nodes and one of 25 again and again, each time with another seed, and takes
from each request's time the time in which a text encoder, a diffusion model or an autoencoder was
at work, as the answer's timings tell. Run it on an idle service; another load counts as overhead.
"""

import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterable
from typing import Any

from benchmarks.workflows import node, text_to_image

MODEL_STAGES = {"encode", "sample"}


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


def overhead_ms(base: str, workflow: dict[str, Any]) -> float:
    taken, answer = post(base, workflow)
    models = (
        (one["start_s"], one["end_s"])
        for one in answer["timings"]["nodes"]
        if one["stage"] in MODEL_STAGES and not one["cached"]
    )
    return 1000 * (taken - covered(models))


def main() -> None:
    base, checkpoint = sys.argv[1].rstrip("/"), sys.argv[2]
    requests = int(sys.argv[3]) if len(sys.argv) > 3 else 30
    for name, make in (("7 nodes", seven), ("25 nodes", twenty_five)):
        for seed in range(3):
            post(base, make(checkpoint, seed))
        taken = sorted(overhead_ms(base, make(checkpoint, 100 + k)) for k in range(requests))
        p99 = taken[min(len(taken) - 1, int(0.99 * len(taken)))]
        print(f"{name}: p50 {statistics.median(taken):.1f} ms, p99 {p99:.1f} ms, n {requests}")


if __name__ == "__main__":
    main()
