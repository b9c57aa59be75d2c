"""What it costs to change LoRAs between requests: twenty with one LoRA, twenty that alternate.

Usage: python -m benchmarks.lora_switch http://127.0.0.1:8000 CHECKPOINT LORA LORA [REQUESTS]

Every request is another picture of its own prompt, so nothing but weights is there from before.
The two series take turns, a few requests each, so that another load on the machine falls on both.
The last line is the ratio of their times; at most 1.25 is wanted.
"""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.overhead import post
from benchmarks.workflows import node, text_to_image

TURN = 5
STEPS = 4


def with_lora(checkpoint: str, lora: str, seed: int) -> dict[str, Any]:
    """Text to image under one LoRA, on the diffusion model and the text encoder."""
    nodes = text_to_image(
        checkpoint, seed=seed, prompt=f"a red fox, take {seed}", cfg=4.0, steps=STEPS
    )
    nodes["8"] = node(
        "LoraLoader",
        model=["1", 0],
        clip=["1", 1],
        lora_name=lora,
        strength_model=0.8,
        strength_clip=0.8,
    )
    nodes["5"]["inputs"]["model"] = ["8", 0]
    for prompt in ("2", "3"):
        nodes[prompt]["inputs"]["clip"] = ["8", 1]
    return nodes


def main() -> None:
    base, checkpoint, first, second = sys.argv[1:5]
    requests = int(sys.argv[5]) if len(sys.argv) > 5 else 20
    seeds = itertools.count()

    def taken(loras: Iterator[str], count: int) -> float:
        workflows = (with_lora(checkpoint, next(loras), next(seeds)) for _ in range(count))
        return sum(post(base.rstrip("/"), workflow)[0] for workflow in workflows)

    one, two = itertools.repeat(first), itertools.cycle((first, second))
    taken(two, 4)  # everything is loaded
    times = {"one LoRA": 0.0, "alternating": 0.0}
    for start in range(0, requests, TURN):
        count = min(TURN, requests - start)
        times["one LoRA"] += taken(one, count)
        times["alternating"] += taken(two, count)
    for name, seconds in times.items():
        print(f"{name}: {requests} requests in {seconds:.2f} s")
    print(f"ratio {times['alternating'] / times['one LoRA']:.3f}")


if __name__ == "__main__":
    main()
