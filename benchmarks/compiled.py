"""What a step costs compiled and as it is, and what compiling costs at start.

Usage: python -m benchmarks.compiled CHECKPOINT_FILE SIDE [ROWS ...]

Two stages over one checkpoint take turns, in pictures of SIDE by SIDE pixels. Half of the rows of a
call are negatives. The last lines are ratios of times; over 1, compiled steps were faster.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from diffusion.device import choose
from diffusion.engine.stage import SampleStage
from diffusion.engine.warming import WarmSize
from diffusion.memory.budget import MemoryBudget
from diffusion.networks.compiling import Regions
from diffusion.weights import Weights, open_weights
from graph.latent_sizes import NODE_PX
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Condition, Latent, Model, ModelFile

TURNS = 5
TEXT_WIDTH = 768  # of Stable Diffusion 1
GIB = 2**30


def stage_over(path: Path, regions: Regions | None) -> SampleStage:
    def opened(file: ModelFile) -> Weights:
        return open_weights(path, file)

    place = choose()
    return SampleStage(
        opened,
        device=place.device,
        dtype=place.diffusion,
        memory=MemoryBudget(8 * GIB),
        regions=regions,
    )


def two_steps(model: Model, side: int, rows: int) -> SampleRequest:
    positive, negative = (
        (Condition(torch.randn(1, 77, TEXT_WIDTH, generator=torch.Generator().manual_seed(seed))),)
        for seed in (1, 2)
    )
    guider = Guider("cfg", model, (("positive", positive), ("negative", negative)), (("cfg", 7.0),))
    latent = Latent(torch.zeros(rows // 2, 4, side // NODE_PX, side // NODE_PX))
    sigmas = torch.tensor([10.0, 5.0, 1.0])
    return SampleRequest(guider, Noise(1), SamplerChoice("euler"), sigmas, latent)


async def taken(stage: SampleStage, request: SampleRequest) -> float:
    began = time.perf_counter()
    await stage.sample(request)
    return (time.perf_counter() - began) / 2


async def compared(path: Path, side: int, rows: Sequence[int]) -> None:
    model = Model(ModelFile("checkpoints", path.name))
    plain, compiled = stage_over(path, None), stage_over(path, Regions())
    await compiled.warm(model)
    began = time.perf_counter()
    await compiled.warm(model, [WarmSize(side, side, (1, *rows))])
    print(f"compiled for 1 and {rows} rows in {time.perf_counter() - began:.1f} s")
    ratios = []
    for count in rows:
        request = two_steps(model, side, count)
        times: dict[SampleStage, list[float]] = {plain: [], compiled: []}
        for turn in range(TURNS + 1):
            for stage, own in times.items():
                seconds = await taken(stage, request)
                if turn:  # the first is for caches
                    own.append(seconds)
        one, other = (median(own) for own in times.values())
        print(f"{count} rows: a step in {one:.3f} s as it is, in {other:.3f} s compiled")
        ratios.append(f"{count} rows: {one / other:.3f}")
    await plain.close()
    await compiled.close()
    print(*ratios, sep="\n")


def main() -> None:
    path, side, *rows = sys.argv[1:]
    asyncio.run(compared(Path(path), int(side), [int(count) for count in rows] or [2, 16]))


if __name__ == "__main__":
    main()
