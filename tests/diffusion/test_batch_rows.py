"""A batch sampled in parts is the batch sampled in one piece."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.batch.slices import join_rows, latent_rows
from diffusion.engine.stage import SampleStage
from diffusion.samplers import SAMPLERS
from graph.sampling import WHOLE_BATCH_SAMPLERS, Noise, Rows, SampleRequest
from graph.splitting import SPLITTING_CHANGES, rows_of
from graph.values import Latent, Model
from tests.diffusion.narrow_stage import (
    INPAINT,
    NARROW,
    drawn,
    narrow_stage,
    prompt,
    request,
    write_models,
)

BATCH = 3
EMPTY = Latent(torch.zeros(BATCH, 4, 8, 8))
EVERY_PICTURES_OWN: dict[str, dict[str, Any]] = {
    "perturbed_attention": {"scale": 3.0},
    "rescale_cfg": {"multiplier": 0.7},
    "model_sampling_discrete": {"sampling": "eps", "zsnr": True},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("narrow")
    write_models(folder)
    return folder


async def both(stage: SampleStage, asked: SampleRequest) -> list[Latent]:
    """A request in one piece, and in two parts on what might be two replicas."""
    whole, _ = await stage.sample(asked)
    parts = [
        (await stage.sample(replace(asked, rows=rows)))[0]
        for rows in rows_of(len(asked.latent.samples), 2)
    ]
    return [whole, join_rows(parts)]


async def assert_parts_are_the_whole(models: Path, asked: SampleRequest) -> None:
    stage = narrow_stage(models)
    whole, joined = await both(stage, asked)
    await stage.close()
    allowed = 1e-4 * max(1.0, float(whole.samples.std()))
    torch.testing.assert_close(joined.samples, whole.samples, rtol=0, atol=allowed)
    assert not torch.allclose(whole.samples[0], whole.samples[1], atol=10 * allowed)


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_2m_sde", "lcm", "uni_pc"])
async def test_parts_get_the_noise_of_their_rows(models: Path, sampler: str) -> None:
    await assert_parts_are_the_whole(models, request(7, sampler=sampler, latent=EMPTY))


async def test_parts_of_a_masked_latent_keep_their_own_masks(models: Path) -> None:
    mask = (drawn(3, 2, 1, 64, 64) > 0).float()
    latent = Latent(drawn(4, BATCH, 4, 8, 8), mask, (5, 0, 2))
    await assert_parts_are_the_whole(models, request(7, latent=latent, denoise=0.6))


async def test_parts_get_the_prompts_and_masks_of_their_rows(models: Path) -> None:
    (first,), (other,) = prompt(1), prompt(2, mask=drawn(5, BATCH, 64, 64).abs())
    both_tokens = torch.cat([first.tokens, other.tokens])
    positive = (replace(first, tokens=both_tokens), other)
    await assert_parts_are_the_whole(models, request(7, positive=positive, latent=EMPTY))


async def test_parts_get_the_pictures_beside_their_rows(models: Path) -> None:
    extras = {"concat_latent_image": drawn(6, 2, 4, 8, 8), "concat_mask": torch.ones(1, 1, 64, 64)}
    asked = request(
        7, positive=prompt(1, extras=extras), latent=EMPTY, model=Model(INPAINT), steps=2
    )
    await assert_parts_are_the_whole(models, asked)


async def test_parts_without_initial_noise_take_that_of_their_steps(models: Path) -> None:
    asked = request(7, sampler="euler_ancestral", latent=Latent(drawn(1, BATCH, 4, 8, 8)))
    await assert_parts_are_the_whole(models, replace(asked, noise=Noise(None, 7)))


@pytest.mark.parametrize("kind", EVERY_PICTURES_OWN)
async def test_changes_that_split_treat_every_picture_by_itself(models: Path, kind: str) -> None:
    model = Model(NARROW).changed(kind, **EVERY_PICTURES_OWN[kind])
    await assert_parts_are_the_whole(models, request(7, latent=EMPTY, model=model, steps=2))


def test_the_language_knows_which_samplers_and_changes_split() -> None:
    assert {name for name, kind in SAMPLERS.items() if not kind.splits} == WHOLE_BATCH_SAMPLERS
    assert EVERY_PICTURES_OWN.keys() | {"lora"} == SPLITTING_CHANGES


def test_joined_latents_have_the_masks_and_indices_of_their_parts() -> None:
    latent = Latent(drawn(1, 5, 4, 8, 8), drawn(2, 2, 1, 64, 64), (4, 3, 2, 1, 0))
    joined = join_rows([latent_rows(latent, rows) for rows in rows_of(5, 3)])
    assert torch.equal(joined.samples, latent.samples)
    assert joined.batch_index == latent.batch_index
    assert joined.noise_mask is not None
    assert latent.noise_mask is not None
    assert torch.equal(joined.noise_mask, latent.noise_mask[[0, 1, 0, 1, 0]])


def test_joined_pictures_are_in_their_order() -> None:
    pictures = drawn(1, 5, 8, 8, 3)
    parts = [pictures[rows.start : rows.stop] for rows in rows_of(5, 2)]
    assert torch.equal(join_rows(parts), pictures)
    assert rows_of(5, 2) == (Rows(0, 2, 5), Rows(2, 5, 5))
