"""How the time to prepare a workflow grows with its size, shape by shape.

Usage: python -m benchmarks.preparing [SHAPE ...]

Prepares workflows of several sizes, up to the limit of nodes, as a dry run does: read, override,
check, plan, quote. Prints the CPU seconds of the faster of two runs for each size, and the slope of
the times on logarithmic scales: 1 is linear, 2 quadratic. Needs no server and no model.
"""

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from math import log2
from pathlib import Path
from typing import Any, cast

from benchmarks.shapes import SHAPES, Shape
from deployments.runner import WorkflowRunner
from graph.cache import ResultCache
from graph.comfyui_nodes import load_comfyui_nodes
from graph.errors import ServiceError
from graph.nodes import load_node_types
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary

SIZES = (1250, 2500, 5000)
RUNS = 2


class NoInputs:
    """An owner without uploads."""

    async def list(self, _owner: str) -> tuple[str, ...]:
        return ()


def runner(models: Path) -> WorkflowRunner:
    """What prepares workflows, over a folder of models."""
    folders = ModelLibrary(models, models / "private")
    return WorkflowRunner(
        node_types=load_node_types(),
        comfyui_nodes=load_comfyui_nodes(),
        folders=folders,
        checks=ModelChecks(folders),
        annotators=AnnotatorFolder.of(models, hub=False),
        inputs=cast(Any, NoInputs()),
        clients=cast(Any, None),
        cache=ResultCache(0),
    )


async def seconds(prepare: WorkflowRunner, body: Mapping[str, Any]) -> tuple[float, int]:
    """The CPU time of the fastest of some runs, and how long the answer is."""
    best, length = float("inf"), 0
    for _ in range(RUNS):
        text, answer = json.dumps(body), ""
        began = time.process_time()
        try:
            answer = json.dumps((await prepare.prepare("a", json.loads(text))).quote)
        except ServiceError as error:
            answer = json.dumps(error.body(), default=str)
        best, length = min(best, time.process_time() - began), len(answer)
    return best, length


async def measure(prepare: WorkflowRunner, shape: Shape) -> None:
    await seconds(prepare, shape(100))  # imports and caches
    times, lengths = zip(*[await seconds(prepare, shape(size - 10)) for size in SIZES], strict=True)
    slope = exponent(times)
    shown = "  ".join(f"{taken:7.3f}" for taken in times)
    print(f"{shape.__name__:<26}{shown}  slope {slope:4.2f}  answer {lengths[-1]:>9,}")


def exponent(times: tuple[float, ...]) -> float:
    """The least squares' slope of log(time) over log(size), for sizes that double."""
    logs = [log2(one) for one in times]
    middle = (len(logs) - 1) / 2
    spread = sum((k - middle) ** 2 for k in range(len(logs)))
    return sum((k - middle) * one for k, one in enumerate(logs)) / spread


async def main(names: list[str]) -> None:
    print(f"{'seconds at nodes':<26}" + "  ".join(f"{size:>7}" for size in SIZES))
    with tempfile.TemporaryDirectory() as folder:
        prepare = runner(Path(folder))
        gc.collect()
        gc.freeze()  # as the router does
        for name, shape in SHAPES.items():
            if not names or name in names:
                await measure(prepare, shape)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
