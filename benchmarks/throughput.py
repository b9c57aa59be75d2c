"""Many different requests at once: with the step engine's batches, without them, and on ComfyUI.

Usage: python -m benchmarks.throughput CHECKPOINT URL [--unbatched URL] [--comfyui URL] [--rounds N]

Posts 16 requests of other seeds, prompts, samplers and scales at once and takes the time until the
last picture is there; then one alone. Servers are measured in turns, round by round, so that a
ratio is of things measured side by side. ComfyUI works through its
queue one after another. A batched and an unbatched comfyray differ in `sampler.batching` of their
serve_config.yaml.
"""

import argparse
import json
import secrets
import statistics
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.workflows import text_to_image

REQUESTS = 16
SAMPLERS = ("euler", "dpmpp_2m", "ddim", "heun")
SUBJECTS = ("fox", "boat", "tower", "teapot")
Workflow = dict[str, Any]


def call(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as response:
        return json.load(response)


def on_comfyray(base: str, workflow: Workflow) -> None:
    answer = call(f"{base}/api/v7/comfyui/execute", {"workflow": workflow, "wait": 60})
    while answer["status"] == "processing":
        time.sleep(0.05)
        answer = call(answer["fetch_result"])
    if answer["status"] != "success":
        raise RuntimeError(json.dumps(answer))


def on_comfyui(base: str, workflow: Workflow) -> None:
    prompt_id = call(f"{base}/prompt", {"prompt": workflow})["prompt_id"]
    while prompt_id not in (history := call(f"{base}/history/{prompt_id}")):
        time.sleep(0.05)
    if history[prompt_id]["status"]["status_str"] != "success":
        raise RuntimeError(json.dumps(history))


def workload(checkpoint: str, first_seed: int) -> list[Workflow]:
    return [
        text_to_image(
            checkpoint,
            seed=first_seed + k,
            prompt=f"a {SUBJECTS[k % 4]} " + "in the snow, " * (k // 4),
            sampler=SAMPLERS[k % 4],
            cfg=5.0 + k % 3,
            steps=20,
        )
        for k in range(REQUESTS)
    ]


def seconds(run: Callable[[Workflow], None], workflows: list[Workflow]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(len(workflows)) as pool:
        list(pool.map(run, workflows))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("url")
    parser.add_argument("--unbatched")
    parser.add_argument("--comfyui")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    servers: dict[str, Callable[[Workflow], None]] = {
        "batched": lambda workflow: on_comfyray(given.url, workflow)
    }
    if given.unbatched:
        servers["unbatched"] = lambda workflow: on_comfyray(given.unbatched, workflow)
    if given.comfyui:
        servers["comfyui"] = lambda workflow: on_comfyui(given.comfyui, workflow)
    many: dict[str, list[float]] = {name: [] for name in servers}
    one: dict[str, list[float]] = {name: [] for name in servers}
    for run in servers.values():
        run(workload(given.checkpoint, 1)[0])  # loads what is not loaded yet
    for _ in range(given.rounds):
        # No server has drawn these: what is asked for twice is answered from a cache.
        seed = secrets.randbelow(2**48)
        for name, run in servers.items():
            many[name].append(seconds(run, workload(given.checkpoint, seed)))
            one[name].append(seconds(run, workload(given.checkpoint, seed + REQUESTS)[:1]))
    for name in servers:
        print(
            f"{name}: {REQUESTS} at once {statistics.median(many[name]):.1f} s,"
            f" one alone {statistics.median(one[name]):.2f} s"
        )
    for name in servers.keys() - {"batched"}:
        ratios = [slow / fast for slow, fast in zip(many[name], many["batched"], strict=True)]
        alone = [slow / fast for slow, fast in zip(one[name], one["batched"], strict=True)]
        print(
            f"{name} / batched: {REQUESTS} at once {statistics.median(ratios):.2f},"
            f" one alone {statistics.median(alone):.2f}"
        )


if __name__ == "__main__":
    main()
