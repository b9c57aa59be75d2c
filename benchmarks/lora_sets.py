"""What different LoRAs cost: sixteen jobs at once under one set of them, and under eight.

Usage: python -m benchmarks.lora_sets MODELS_DIR CHECKPOINT LORA LORA [ROUNDS]

The sample stage alone, without encoders of prompts: with sets apart, and mixed. One set and eight
take turns, so that another load on the machine falls on both. Told is the round with the median of
the ratios; at most 1.4 is wanted.
"""

import asyncio
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from diffusion.engine.stage import SampleStage
from diffusion.lora.applying import LORA, Loras
from diffusion.memory.budget import MemoryBudget
from diffusion.samplers.ksampler import ksampler_sigmas
from diffusion.schedules.model_sampling import discrete
from diffusion.weights import Weights, open_weights
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Change, Condition, Latent, Model, ModelFile

JOBS, SETS, STEPS, SIDE = 16, 8, 4, 8
GIB = 2**30


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def asked(checkpoint: str, loras: tuple[str, str], job: int, sets: int) -> SampleRequest:
    """A picture under one of so many sets: a file and a strength."""
    own = job % sets
    file = ModelFile("loras", loras[own % 2])
    change = Change(LORA, (("file", file), ("strength", 0.3 + 0.1 * (own // 2))))
    model = Model(ModelFile("checkpoints", checkpoint), (change,))
    prompts = {
        "positive": (Condition(drawn(job, 1, 77, 768)),),
        "negative": (Condition(drawn(job + 100, 1, 77, 768)),),
    }
    guider = Guider("cfg", model, tuple(prompts.items()), (("cfg", 5.0),))
    sigmas = ksampler_sigmas(discrete(), "euler", "normal", STEPS, 1.0)
    latent = Latent(torch.zeros(1, 4, SIDE, SIDE))
    return SampleRequest(guider, Noise(job), SamplerChoice("euler"), sigmas, latent)


async def measured(stage: SampleStage, requests: list[SampleRequest]) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(stage.sample(request) for request in requests))
    return time.perf_counter() - began


async def compared(stage: SampleStage, several: dict[int, list[SampleRequest]], rounds: int) -> str:
    for requests in several.values():  # weights are there, and changed
        await asyncio.gather(*(stage.warm(request.guider.model) for request in requests))
        await stage.sample(replace(requests[0], node_id="warm"))
    found = []
    for _ in range(rounds):
        one, many = [await measured(stage, requests) for requests in several.values()]
        found.append((many / one, one, many))
    await stage.close()
    ratio, one, many = sorted(found)[rounds // 2]
    return f"{JOBS} jobs: one set {one:.2f} s, {SETS} sets {many:.2f} s, ratio {ratio:.3f}"


def main() -> None:
    models, checkpoint, *loras = sys.argv[1:5]
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 5

    def opened(file: ModelFile) -> Weights:
        return open_weights(Path(models, file.folder, file.name), file)

    ask = partial(asked, checkpoint, (loras[0], loras[1]))
    several = {sets: [ask(job, sets) for job in range(JOBS)] for sets in (1, SETS)}
    for mixes in (False, True):
        stage = SampleStage(
            opened,
            device=torch.device("cpu"),
            dtype=torch.float32,
            memory=MemoryBudget(4 * GIB),
            weight_changes=(LORA,),
            apply_changes=Loras(opened, budget_bytes=GIB).on_model,
            mix_loras=mixes,
        )
        name = "mixed" if mixes else "apart"
        print(f"{name}: {asyncio.run(compared(stage, several, rounds))}", flush=True)


if __name__ == "__main__":
    main()
