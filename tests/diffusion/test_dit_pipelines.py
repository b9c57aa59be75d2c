"""Narrow models of random weights, sampled here and by diffusers' own pipelines."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.dit.tokens import packed, unpacked
from diffusion.engine.stage import SampleStage
from diffusion.families.flux.loading import LATENT as FLUX_LATENT
from diffusion.families.sd3.loading import LATENT as SD3_LATENT
from diffusion.latent_format import process_in
from diffusion.memory.budget import MemoryBudget
from diffusion.weights import Weights, open_weights
from graph.sampling import Guider, Noise, SamplerChoice, SampleRequest
from graph.values import Condition, Latent, Model, ModelFile
from tests.diffusion.dit_files import DEV, SD3, SD35, drawn_module, reference_layout
from tests.diffusion.model_files import CPU
from tests.diffusion.narrow_stage import drawn

FILE = ModelFile("diffusion_models", "narrow.safetensors")
TOKENS, STEPS, HEIGHT, WIDTH = 7, 5, 8, 12
SCHEDULE: dict[str, dict[str, Any]] = {
    "sd3": {"shift": 3.0},
    "flux": {"use_dynamic_shifting": True},
}


@pytest.fixture
def stage(tmp_path: Path) -> SampleStage:
    def opened(file: ModelFile) -> Weights:
        return open_weights(tmp_path / file.name, file)

    return SampleStage(opened, device=CPU, dtype=torch.float32, memory=MemoryBudget(2**30))


def condition(seed: int, **extras: Any) -> Condition:
    return Condition(drawn(seed, 1, TOKENS, 32), drawn(seed + 1, 1, 24), extras=extras)


def noise() -> Tensor:
    """What seed 5 gives."""
    return torch.randn(1, 16, HEIGHT, WIDTH, generator=torch.manual_seed(5))


def scheduler(family: str) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler  # noqa: PLC0415

    kind: Any = FlowMatchEulerDiscreteScheduler
    return kind(**SCHEDULE[family])


async def sampled(stage: SampleStage, guider: Guider, sigmas: Tensor) -> Tensor:
    latent = Latent(torch.zeros(1, 16, HEIGHT, WIDTH))
    request = SampleRequest(guider, Noise(5), SamplerChoice("euler"), sigmas, latent)
    output, _ = await stage.sample(request)
    samples: Tensor = output.samples
    return samples


async def test_flux_gives_the_latents_of_diffusers_pipeline(
    stage: SampleStage, tmp_path: Path
) -> None:
    from diffusers import FluxPipeline  # noqa: PLC0415

    module = drawn_module(DEV)
    save_file(reference_layout(module, DEV), tmp_path / FILE.name)
    made: Any = FluxPipeline
    pipeline = made(scheduler("flux"), *(None,) * 5, module)
    pipeline.set_progress_bar_config(disable=True)
    prompt = condition(1, guidance=2.5)
    expected = pipeline(
        prompt_embeds=prompt.tokens,
        pooled_prompt_embeds=prompt.pooled,
        latents=packed(noise()),
        height=HEIGHT * 8,
        width=WIDTH * 8,
        guidance_scale=2.5,
        num_inference_steps=STEPS,
        output_type="latent",
    ).images
    guider = Guider("basic", Model(FILE), (("positive", (prompt,)),))
    output = await sampled(stage, guider, pipeline.scheduler.sigmas)
    got, expected = process_in(FLUX_LATENT, output), unpacked(expected, HEIGHT, WIDTH)
    assert torch.allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize("shape", [SD3, SD35], ids=["3", "3.5"])
@pytest.mark.parametrize("skipped", [(), (1,)], ids=["whole", "skip-layer"])
async def test_stable_diffusion_3_gives_the_latents_of_diffusers_pipeline(
    stage: SampleStage, tmp_path: Path, shape: Any, skipped: tuple[int, ...]
) -> None:
    from diffusers import StableDiffusion3Pipeline  # noqa: PLC0415

    module = drawn_module(shape)
    save_file(reference_layout(module, shape), tmp_path / FILE.name)
    made: Any = StableDiffusion3Pipeline
    pipeline = made(module, scheduler("sd3"), *(None,) * 7)
    pipeline.set_progress_bar_config(disable=True)
    positive, negative = condition(1), condition(3)
    skipping: dict[str, Any] = {
        "skip_guidance_layers": list(skipped),
        "skip_layer_guidance_start": 0.0,  # all steps but the first
        "skip_layer_guidance_stop": 1.0,
        "skip_layer_guidance_scale": 2.0,
    }
    expected = pipeline(
        prompt_embeds=positive.tokens,
        pooled_prompt_embeds=positive.pooled,
        negative_prompt_embeds=negative.tokens,
        negative_pooled_prompt_embeds=negative.pooled,
        latents=noise(),
        height=HEIGHT * 8,
        width=WIDTH * 8,
        guidance_scale=3.0,
        num_inference_steps=STEPS,
        output_type="latent",
        **(skipping if skipped else {}),
    ).images
    model = Model(FILE)
    if skipped:
        model = model.changed(
            "skip_layer_guidance",
            double=skipped,
            single=(),
            scale=2.0,
            start_percent=0.01,
            end_percent=1.0,
            rescaling_scale=0.0,
        )
    prompts = (("positive", (positive,)), ("negative", (negative,)))
    guider = Guider("cfg", model, prompts, (("cfg", 3.0),))
    output = await sampled(stage, guider, pipeline.scheduler.sigmas)
    assert torch.allclose(process_in(SD3_LATENT, output), expected, atol=1e-3)


async def test_a_negative_may_lack_blocks(stage: SampleStage, tmp_path: Path) -> None:
    """At a scale of 2: twice the positive less what is made of the negative without a block."""
    save_file(reference_layout(drawn_module(SD3), SD3), tmp_path / FILE.name)
    skipped = {"double": (1,), "single": (), "start_percent": 0.0, "end_percent": 1.0}
    alone = Model(FILE).changed(
        "skip_layer_guidance", **{**skipped, "scale": 1.0, "rescaling_scale": 0.0}
    )
    positive, negative = (condition(1),), (condition(3),)
    sigmas = torch.tensor([1.0, 0.0])
    prompts = (("positive", positive), ("negative", negative))
    model = Model(FILE).changed("skip_negative_layers", **skipped)
    guided = await sampled(stage, Guider("cfg", model, prompts, (("cfg", 2.0),)), sigmas)
    plain = [
        await sampled(stage, Guider("basic", m, (("positive", prompt),)), sigmas)
        for m, prompt in ((Model(FILE), positive), (Model(FILE), negative), (alone, negative))
    ]
    without = 2 * plain[1] - plain[2]  # the negative as it is without the block
    assert torch.allclose(guided, 2 * plain[0] - without, atol=1e-3)
