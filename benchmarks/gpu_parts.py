"""The parts of gpu.sh, each a process: python -m benchmarks.gpu_parts PART FILE [--tiny].

A part writes what it found into FILE, as JSON: rows of the table, by name.
"""

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.random_models import TINY, RandomFiles, Sizes
from diffusion.device import choose
from diffusion.engine.stage import SampleStage
from diffusion.engine.warming import WarmSize
from diffusion.lora.applying import Loras
from diffusion.lora.merging import WEIGHT_CHANGES, WeightChanges
from diffusion.memory.budget import MemoryBudget
from diffusion.networks.compiling import Regions
from diffusion.upscaling.stage import UpscaleStage
from graph.latent_sizes import NODE_PX
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import (
    Condition,
    ControlNet,
    ControlUse,
    Latent,
    Model,
    ModelFile,
    UpscaleModel,
    Vae,
)

GIB = 2**30
RUNS = 3
ROWS = (1, 2, 4, 8, 16)
FEW_STEPS = 4  # where only the time of a step is wanted
TOKENS = {"sdxl": 77, "flux": 512}
# TFLOP of one call for one picture of 1024x1024, a multiply-add being two, attention included;
# counted with torch's FlopCounterMode over diffusers' networks.
TFLOP = {"sdxl": 6.761, "flux": 74.385, "control": 3.020, "vae": 10.47}
Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where it is measured, and with what."""

    device: str
    tiny: bool
    dtype: torch.dtype = torch.float16
    compiled: bool = False
    px: int = 1024
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> Sizes:
        return TINY if self.tiny else Sizes()

    @property
    def side(self) -> int:
        """Of latents."""
        return (64 if self.tiny else self.px) // NODE_PX

    def files(self) -> RandomFiles:
        return RandomFiles(
            self.sizes, torch.bfloat16 if self.dtype == torch.bfloat16 else torch.float16
        )

    def stage(self) -> SampleStage:
        files = self.files()
        loras = Loras(files, budget_bytes=4 * GIB)
        return SampleStage(
            files,
            device=torch.device(self.device),
            dtype=self.dtype,
            vae_dtype=torch.float32 if self.dtype == torch.float32 else torch.bfloat16,
            memory=MemoryBudget(100 * GIB),
            activation_bytes=32 * GIB,
            weight_changes=WEIGHT_CHANGES,
            apply_changes=WeightChanges(files, loras).on_model,
            regions=self._regions() if self.compiled else None,
        )

    def _regions(self) -> Regions:
        """What is compiled; without a GPU only traced, as gcc would take minutes."""
        return Regions() if self.device.startswith("cuda") else Regions("aot_eager")


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


async def request(
    bench: Bench,
    stage: SampleStage,
    kind: str,
    *,
    steps: int,
    rows: int = 1,
    adapters: bool = False,
) -> SampleRequest:
    """A picture, or several, of the seed's own prompt."""
    model = Model(ModelFile("diffusion_models", kind))
    sigmas = await stage.sigmas(model, sampler_name="euler", scheduler="normal", steps=steps)
    size = (bench.side, bench.side)
    if kind == "flux":
        prompt = Condition(
            drawn(1, 1, TOKENS[kind], 4096), drawn(2, 1, 768), extras={"guidance": 3.5}
        )
        guider = Guider("basic", model, (("positive", (prompt,)),))
        latent = Latent(torch.zeros(rows, 16, *size))
        return SampleRequest(guider, Noise(7), SamplerChoice("euler"), sigmas, latent)
    positive, negative = (
        Condition(drawn(seed, 1, TOKENS[kind], 2048), drawn(seed + 9, 1, 1280)) for seed in (1, 2)
    )
    if adapters:
        model = model.changed("lora", file=ModelFile("loras", "lora"), strength=0.8)
        hint = drawn(5, 1, bench.side * NODE_PX, bench.side * NODE_PX, 3).sigmoid()
        use = ControlUse(ControlNet(ModelFile("controlnet", "control")), hint, 0.7)
        positive, negative = (replace(one, controls=(use,)) for one in (positive, negative))
    prompts = (("positive", (positive,)), ("negative", (negative,)))
    guider = Guider("cfg", model, prompts, (("cfg", 7.0),))
    latent = Latent(torch.zeros(rows, 4, *size))
    return SampleRequest(guider, Noise(7), SamplerChoice("euler"), sigmas, latent)


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def measured(
    bench: Bench, kind: str, *, steps: int, adapters: bool = False
) -> tuple[Row, SampleStage]:
    """One picture, sampled and decoded: first cold, then several times warm."""
    stage = bench.stage()
    asked = await request(bench, stage, kind, steps=steps, adapters=adapters)
    vae = Vae(ModelFile("vae", f"{kind}_vae"))
    upscalers = UpscaleStage(bench.files(), device=torch.device(bench.device), budget_bytes=GIB)
    of_parts: dict[str, list[float]] = {"sampling": [], "decoding": [], "upscaling": []}

    async def picture() -> None:
        at = [time.perf_counter()]
        latent, _ = await stage.sample(asked)
        at.append(time.perf_counter())
        image = await stage.decode(vae, latent)
        at.append(time.perf_counter())
        if adapters:
            await upscalers.upscale(UpscaleModel(ModelFile("upscale_models", "upscaler")), image)
        at.append(time.perf_counter())
        for part, start, end in zip(of_parts, at, at[1:], strict=False):
            of_parts[part].append(end - start)

    if bench.compiled:
        began = time.perf_counter()
        side = bench.side * NODE_PX
        await stage.warm(asked.guider.model, [WarmSize(side, side, (1 if kind == "flux" else 2,))])
        warming = time.perf_counter() - began
    cold = await timed(picture)
    times = [await timed(picture) for _ in range(RUNS)]
    row: Row = {"seconds": median(times), "first_seconds": cold, "steps": steps}
    if bench.compiled:
        row["compile_seconds"] = warming
    row |= {part: median(own[1:]) for part, own in of_parts.items() if own[-1] > 1e-4}
    calls = 1 if kind == "flux" else 2
    work = calls * steps * (TFLOP[kind] + (TFLOP["control"] if adapters else 0))
    if not bench.tiny:
        row["tflop_per_s"] = work / row["sampling"]
    upscalers.close()
    return row, stage


async def pictures(bench: Bench) -> dict[str, Row]:
    """The device's pictures held to those of the CPU in float32, in levels of 255."""
    sizes = [replace(bench, tiny=True)]
    if not bench.tiny and bench.device != "cpu":
        sizes.append(replace(bench, px=512))
    found: dict[str, Row] = {}
    for one in sizes:
        kinds = (
            [("sdxl", False), ("sdxl", True), ("flux", False)] if one.tiny else [("sdxl", False)]
        )
        for kind, adapters in kinds:
            alike = await picture(replace(one, device="cpu", dtype=torch.float32), kind, adapters)
            name = f"{kind}{' + ControlNet + LoRA' if adapters else ''}"
            row: Row = {}
            for dtype in (torch.float32, torch.float16, torch.bfloat16):
                own = await picture(replace(one, dtype=dtype), kind, adapters)
                apart = (own - alike).abs() * 255
                what = str(dtype).removeprefix("torch.")
                row |= {f"{what}_mean": float(apart.mean()), f"{what}_max": float(apart.max())}
            found[
                f"{name}, {'tiny' if one.tiny else 'full size, 512 px'}: levels from the CPU's"
            ] = row
    return found


async def picture(bench: Bench, kind: str, adapters: bool) -> Tensor:
    stage = bench.stage()
    latent, _ = await stage.sample(
        await request(bench, stage, kind, steps=FEW_STEPS if bench.tiny else 2, adapters=adapters)
    )
    image = await stage.decode(Vae(ModelFile("vae", f"{kind}_vae")), latent)
    await stage.close()
    return image.float()


async def machine(bench: Bench) -> dict[str, Row]:
    """What the device could do: the speed of a large product of matrices, and of copies to it."""
    side = 256 if bench.tiny else 8192
    device = torch.device(bench.device)
    a = torch.randn(side, side, dtype=torch.bfloat16).to(device)

    def of_device(work: Callable[[], Any], times: int) -> float:
        work()
        _wait(device)
        began = time.perf_counter()
        for _ in range(times):
            work()
        _wait(device)
        return (time.perf_counter() - began) / times

    product_s = of_device(lambda: a @ a, 20)
    host = torch.empty(side, side, 4, dtype=torch.bfloat16)
    row: Row = {
        "tflop_per_s": 2 * side**3 / product_s / 1e12,
        "copies_gb_per_s": host.nbytes / of_device(lambda: host.to(device), 5) / 1e9,
    }
    if device.type == "cuda":
        pinned = host.pin_memory()
        copied_s = of_device(lambda: pinned.to(device, non_blocking=True), 5)
        row["pinned_gb_per_s"] = host.nbytes / copied_s / 1e9
        properties = torch.cuda.get_device_properties(device)
        row |= {"gpu": properties.name, "memory_gib": properties.total_memory / GIB}
    row |= {"torch": torch.__version__, "chosen": str(choose(bench.device).diffusion)}
    return {"the device, bfloat16": row}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


async def batches(bench: Bench) -> dict[str, Row]:
    """How much longer a step over several requests is: jobs that share model calls."""
    stage = bench.stage()
    asked = await request(bench, stage, "sdxl", steps=FEW_STEPS)
    await stage.sample(asked)
    row: Row = {}
    for rows in ROWS:
        several = [replace(asked, noise=Noise(seed)) for seed in range(rows)]

        async def together(several: list[SampleRequest] = several) -> None:
            await asyncio.gather(*(stage.sample(one) for one in several))

        await together()
        row[f"{rows}_ms_per_step_and_picture"] = await timed(together) / FEW_STEPS / rows * 1000
    await stage.close()
    return {"sdxl, requests that share steps": row}


async def one_picture(
    bench: Bench, name: str, kind: str, steps: int, **more: bool
) -> dict[str, Row]:
    row, stage = await measured(bench, kind, steps=steps, **more)
    await stage.close()
    return {name: row}


def _steps(bench: Bench, steps: int) -> int:
    return 2 if bench.tiny else steps


PARTS: Mapping[str, Callable[[Bench], Coroutine[Any, Any, dict[str, Row]]]] = {
    "machine": machine,
    "pictures": pictures,
    "sdxl": lambda b: one_picture(b, "sdxl, 30 steps", "sdxl", _steps(b, 30)),
    "flux": lambda b: one_picture(
        replace(b, dtype=torch.bfloat16), "flux dev, 28 steps", "flux", _steps(b, 28)
    ),
    "adapters": lambda b: one_picture(
        b, "sdxl + ControlNet + LoRA + upscale, 30 steps", "sdxl", _steps(b, 30), adapters=True
    ),
    "batches": batches,
    "sdxl_compiled": lambda b: one_picture(
        replace(b, compiled=True), "sdxl, 30 steps, compiled", "sdxl", _steps(b, 30)
    ),
    "sdxl_graphs": lambda b: one_picture(
        replace(b, compiled=True), "sdxl, 30 steps, compiled, CUDA graphs", "sdxl", _steps(b, 30)
    ),
    "flux_compiled": lambda b: one_picture(
        replace(b, dtype=torch.bfloat16, compiled=True),
        "flux dev, 28 steps, compiled",
        "flux",
        _steps(b, 28),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    found = asyncio.run(PARTS[asked.part](Bench(asked.device, asked.tiny)))
    if asked.device.startswith("cuda"):
        gc.collect()
        peak = torch.cuda.max_memory_allocated() / GIB
        found = {name: row | {"peak_gib": peak} for name, row in found.items()}
    asked.file.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
