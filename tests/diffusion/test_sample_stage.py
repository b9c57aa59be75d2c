"""The sample stage over narrow networks: noise, masks, schedules, weights, cancelling."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffusion.engine.stage import SampleStage
from diffusion.families.sd.family import SD15_LATENT
from diffusion.guidance.model_changes import UnknownModelChangeError
from diffusion.latent_format import PLAYGROUND_LATENT, process_in
from diffusion.memory.budget import MemoryBudget
from graph.events import Progress, Warned
from graph.sampling import Noise
from graph.values import Latent, Model
from tests.diffusion.narrow_stage import (
    INPAINT,
    NARROW,
    OTHER,
    drawn,
    narrow_stage,
    request,
    write_models,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("narrow")
    write_models(folder)
    return folder


@pytest.fixture
async def stage(models: Path) -> AsyncIterator[SampleStage]:
    stage = narrow_stage(models)
    yield stage
    await stage.close()


async def test_steps_are_reported_under_the_node(stage: SampleStage) -> None:
    told: list[Progress | Warned] = []
    await stage.sample(request(steps=3), told.append)
    assert told == [Progress("5", step, 3) for step in (1, 2, 3)]


async def test_a_run_that_ends_without_noise_ends_in_its_last_prediction(
    stage: SampleStage,
) -> None:
    output, denoised = await stage.sample(request())
    torch.testing.assert_close(output.samples, denoised.samples)


async def test_the_noise_levels_of_playground_bring_its_latents_along(stage: SampleStage) -> None:
    levels = {"sigma_min": 0.03, "sigma_max": 14.0}
    edm, playground = [
        Model(NARROW).changed("model_sampling_continuous_edm", sampling=sampling, **levels)
        for sampling in ("edm", "edm_playground_v2.5")
    ]
    plain, _ = await stage.sample(request(model=edm))
    shifted, _ = await stage.sample(request(model=playground))
    torch.testing.assert_close(
        process_in(PLAYGROUND_LATENT, shifted.samples), process_in(SD15_LATENT, plain.samples)
    )


async def test_a_run_that_leaves_noise_gives_the_prediction_beside_it(stage: SampleStage) -> None:
    asked = request(steps=4)
    output, denoised = await stage.sample(replace(asked, sigmas=asked.sigmas[:3]))
    assert float((output.samples - denoised.samples).std()) > 1.0


async def test_two_stages_of_a_run_make_the_picture_of_one(stage: SampleStage) -> None:
    whole, _ = await stage.sample(request(steps=4))
    asked = request(steps=4)
    first, _ = await stage.sample(replace(asked, sigmas=asked.sigmas[:3]))
    rest = replace(asked, sigmas=asked.sigmas[2:], noise=Noise(None, 1), latent=first)
    second, _ = await stage.sample(rest)
    torch.testing.assert_close(second.samples, whole.samples, rtol=1e-4, atol=1e-3)


async def test_an_empty_schedule_gives_the_latent_back(stage: SampleStage) -> None:
    latent = Latent(drawn(1, 1, 4, 8, 8))
    asked = replace(request(latent=latent), sigmas=torch.zeros(0))
    output, _ = await stage.sample(asked)
    assert torch.equal(output.samples, latent.samples)


async def test_what_is_not_masked_stays_as_it_was(stage: SampleStage) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32] = 1.0
    latent = Latent(drawn(1, 1, 4, 8, 8), noise_mask=mask)
    output, _ = await stage.sample(request(latent=latent))
    kept = output.samples[..., 5:], latent.samples[..., 5:]
    torch.testing.assert_close(*kept, rtol=1e-4, atol=1e-4)
    assert float((output.samples - latent.samples)[..., :3].std()) > 0.1


async def test_a_mask_opens_step_by_step_under_differential_diffusion(stage: SampleStage) -> None:
    latent = Latent(drawn(1, 1, 4, 8, 8), noise_mask=torch.full((1, 1, 8, 8), 0.5))
    model = Model(NARROW).changed("differential_diffusion", strength=1.0)
    plain, _ = await stage.sample(request(latent=latent))
    opened, _ = await stage.sample(request(latent=latent, model=model))
    assert float((plain.samples - opened.samples).abs().max()) > 0.1


async def test_self_attention_guidance_asks_for_the_negative_even_at_a_scale_of_one(
    stage: SampleStage,
) -> None:
    model = Model(NARROW).changed("self_attention_guidance", scale=0.5, blur_sigma=2.0)
    plain, _ = await stage.sample(request(cfg=1.0))
    guided, _ = await stage.sample(request(cfg=1.0, model=model))
    assert float((plain.samples - guided.samples).abs().max()) > 1e-3


async def test_an_empty_latent_gets_the_models_channels(stage: SampleStage) -> None:
    output, _ = await stage.sample(request(latent=Latent(torch.zeros(1, 16, 8, 8))))
    assert output.samples.shape == (1, 4, 8, 8)


async def test_a_picture_of_a_batch_is_the_same_on_its_own(stage: SampleStage) -> None:
    batch, _ = await stage.sample(request(latent=Latent(torch.zeros(3, 4, 8, 8), None, (0, 1, 2))))
    third, _ = await stage.sample(request(latent=Latent(torch.zeros(1, 4, 8, 8), None, (2,))))
    torch.testing.assert_close(batch.samples[2:], third.samples, rtol=1e-4, atol=1e-2)


async def test_an_unknown_change_is_refused_before_anything_is_loaded(stage: SampleStage) -> None:
    model = Model(NARROW).changed("miracle")
    with pytest.raises(UnknownModelChangeError, match="miracle"):
        await stage.sample(request(model=model))


async def test_a_change_of_noise_levels_changes_the_schedule(stage: SampleStage) -> None:
    plain = Model(NARROW)
    zsnr = plain.changed("model_sampling_discrete", sampling="v_prediction", zsnr=True)
    schedules = [
        await stage.sigmas(model, sampler_name="euler", scheduler="normal", steps=4)
        for model in (plain, zsnr)
    ]
    first = [float(sigmas[0]) for sigmas in schedules]
    assert first == pytest.approx([14.6146, 4518.8], rel=1e-3)


async def test_half_a_denoising_takes_as_many_steps_over_the_lower_half(
    stage: SampleStage,
) -> None:
    sigmas = await stage.sigmas(
        Model(NARROW), sampler_name="euler", scheduler="normal", steps=4, denoise=0.5
    )
    assert len(sigmas) == 5
    assert float(sigmas[0]) < 3


async def test_weights_that_do_not_fit_together_take_turns(models: Path) -> None:
    stage = narrow_stage(models, memory=MemoryBudget(1, limit_bytes=2**30))
    requests = [request(seed, model=Model(file)) for seed, file in enumerate((NARROW, OTHER))]
    outputs = await asyncio.gather(*map(stage.sample, [*requests, request(model=Model(INPAINT))]))
    await stage.close()
    assert all(torch.isfinite(latent.samples).all() for latent, _ in outputs)


async def test_a_request_after_a_cancelled_one_is_served(models: Path) -> None:
    stage = narrow_stage(models)
    stepped = asyncio.Event()
    running = asyncio.ensure_future(
        stage.sample(request(steps=500), lambda _progress: stepped.set())
    )
    await stepped.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    output, _ = await stage.sample(request(steps=1))
    await stage.close()
    assert running.cancelled()
    assert output.samples.shape == (1, 4, 8, 8)


async def test_what_comes_out_may_be_written_to(stage: SampleStage) -> None:
    output, _ = await stage.sample(request())
    output.samples.mul_(2)
    assert not output.samples.is_inference()
