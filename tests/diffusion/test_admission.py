"""Jobs for models that do not fit in memory together: turns, cancelling, memory."""

import asyncio
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from diffusion.admission import Admission
from diffusion.sampling.stage import SampleStage
from diffusion.weights import Weights, open_weights
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Condition, Conditioning, Latent, Model, ModelFile
from tests.diffusion.dit_files import DEV, drawn_module, reference_layout
from tests.diffusion.model_files import CPU, filled, recorded_shapes
from tests.diffusion.narrow_stage import drawn

FLUX = ModelFile("diffusion_models", "flux.safetensors")
SDXL = ModelFile("checkpoints", "sdxl.safetensors")


async def use(admission: Admission, model: str, size: int, said: list[str]) -> None:
    async with admission.admitted(model, size):
        said.append(f"{model} in")
        await asyncio.sleep(0)
        said.append(f"{model} out")


async def test_models_that_fit_are_used_together() -> None:
    said: list[str] = []
    admission = Admission(10)
    await asyncio.gather(*(use(admission, model, 5, said) for model in "ab"))
    assert said == ["a in", "b in", "a out", "b out"]


async def test_models_that_do_not_fit_take_turns_in_order() -> None:
    said: list[str] = []
    admission = Admission(10)
    await asyncio.gather(*(use(admission, model, 20, said) for model in "aaba"))
    turns = ["a in", "a in", "a out", "a out", "b in", "b out", "a in", "a out"]
    assert said == turns


async def test_who_gives_up_lets_the_next_in() -> None:
    admission = Admission(10)
    said: list[str] = []
    async with admission.admitted("a", 10):
        waiting = [asyncio.create_task(use(admission, m, 10, said)) for m in "bc"]
        await asyncio.sleep(0)
        waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert said == ["c in", "c out"]


def write_models(folder: Path) -> None:
    save_file(reference_layout(drawn_module(DEV), DEV), folder / FLUX.name)
    shapes = recorded_shapes("unet_shapes")["vega"]
    prefixed = {f"model.diffusion_model.{k}": t for k, t in filled(shapes).items()}
    save_file(prefixed, folder / SDXL.name)


def request(model: Model, seed: int) -> SampleRequest:
    is_flux = model.file is FLUX
    width, pooled, channels = (32, 24, 16) if is_flux else (2048, 1280, 4)

    def prompt(seed: int) -> Conditioning:
        return (Condition(drawn(seed, 1, 7, width), drawn(seed + 1, 1, pooled)),)

    prompts = (("positive", prompt(seed)), ("negative", prompt(seed + 5)))
    guider = Guider("cfg", model, prompts, (("cfg", 1.0 if is_flux else 3.0),))
    sigmas = torch.linspace(1.0, 0.0, 4)
    latent = Latent(torch.zeros(1, channels, 8, 8))
    return SampleRequest(guider, Noise(seed), SamplerChoice("euler"), sigmas, latent)


async def peak(stage: SampleStage, running: asyncio.Future[Any]) -> int:
    """The most that was in memory until `running` was done."""
    most = 0
    while not running.done():
        most = max(most, stage.used_bytes)
        await asyncio.sleep(0)
    return most


async def test_two_flux_jobs_and_one_of_sdxl_share_room_for_one_base(tmp_path: Path) -> None:
    write_models(tmp_path)

    def opened(file: ModelFile) -> Weights:
        return open_weights(tmp_path / file.name, file)

    def stage(budget: int) -> SampleStage:
        return SampleStage(opened, device=CPU, dtype=torch.float32, budget_bytes=budget)

    roomy = stage(2**33)
    requests = [request(Model(FLUX), 1), request(Model(SDXL), 2), request(Model(FLUX), 3)]
    alone = [await roomy.sample(each) for each in requests]
    both = roomy.used_bytes
    await roomy.close()
    small = stage(both - 1)
    running = asyncio.gather(*map(small.sample, requests))
    most = await peak(small, running)
    together = await running
    for (one, _), (other, _) in zip(alone, together, strict=True):
        assert torch.allclose(one.samples, other.samples, atol=1e-4)
    assert most < both
    assert small.used_bytes < both
    assert small.jobs == 0
    await small.close()
