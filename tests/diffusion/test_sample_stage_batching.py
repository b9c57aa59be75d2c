"""A job's picture does not depend on its company."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffusion.samplers import SAMPLERS
from graph.sampling import SampleRequest
from graph.values import Latent, Model
from tests.diffusion.narrow_stage import (
    INPAINT,
    NARROW,
    OTHER,
    drawn,
    narrow_stage,
    prompt,
    request,
    write_models,
)

EQUAL_WITHIN = 1e-4
LENGTHS = (77, 154, 231)
NAMES = tuple(SAMPLERS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("narrow")
    write_models(folder)
    return folder


async def sampled(models: Path, requests: Sequence[SampleRequest], **options: int) -> list[Tensor]:
    stage = narrow_stage(models, **options)
    outputs = await asyncio.gather(*map(stage.sample, requests))
    await stage.close()
    return [latent.samples for latent, _ in outputs]


async def apart(models: Path, requests: Sequence[SampleRequest]) -> list[Tensor]:
    """Each request on its own, one after another."""
    stage = narrow_stage(models)
    outputs = [await stage.sample(each) for each in requests]
    await stage.close()
    return [latent.samples for latent, _ in outputs]


def assert_same(together: Sequence[Tensor], alone: Sequence[Tensor]) -> None:
    """Equal, measured in latents of unit spread: random weights make them hundreds of times so."""
    for one, other in zip(together, alone, strict=True):
        allowed = EQUAL_WITHIN * max(1.0, float(other.std()))
        torch.testing.assert_close(one, other, rtol=0, atol=allowed)


def stranger(seed: int, sampler: str) -> SampleRequest:
    """A request that shares nothing with its neighbours but the model and the latent's size."""
    return request(
        seed,
        sampler=sampler,
        steps=2 + seed % 3,
        cfg=1.0 + seed % 4,
        positive=prompt(seed, LENGTHS[seed % 3]),
        negative=prompt(seed + 50, LENGTHS[seed % 2]),
    )


@pytest.mark.parametrize("first", range(0, len(NAMES), 8))
async def test_every_sampler_gives_alone_what_it_gives_among_seven_strangers(
    models: Path, first: int
) -> None:
    names = (NAMES + NAMES)[first : first + 8]
    requests = [stranger(seed, name) for seed, name in enumerate(names)]
    assert_same(await sampled(models, requests), await apart(models, requests))


async def test_areas_masks_and_ranges_may_differ_within_a_batch(models: Path) -> None:
    requests = [
        request(1, positive=prompt(1, area=(4, 8, 0, 0)) + prompt(2)),
        request(2, positive=prompt(3, mask=drawn(5, 1, 64, 64).abs())),
        request(3, positive=prompt(4, start_percent=0.3) + prompt(5, end_percent=0.3)),
        request(4),
    ]
    assert_same(await sampled(models, requests), await apart(models, requests))


async def test_models_of_other_weights_and_sizes_step_beside_each_other(models: Path) -> None:
    requests = [
        request(1),
        request(2, model=Model(OTHER)),
        request(3, model=Model(INPAINT)),
        request(4, latent=Latent(torch.zeros(2, 4, 16, 8))),
    ]
    assert_same(await sampled(models, requests), await apart(models, requests))


async def test_changes_that_leave_the_weights_alone_share_them(models: Path) -> None:
    plain = Model(NARROW)
    requests = [
        request(1),
        request(2, model=plain.changed("rescale_cfg", multiplier=0.7)),
        request(3, model=plain.changed("model_sampling_discrete", sampling="eps", zsnr=True)),
        request(4, model=plain.changed("perturbed_attention", scale=3.0)),
    ]
    assert_same(await sampled(models, requests), await apart(models, requests))


async def test_a_batch_that_does_not_fit_is_split_without_a_trace(models: Path) -> None:
    latent = Latent(torch.zeros(5, 4, 8, 8))
    requests = [request(1, latent=latent), request(2)]
    assert_same(await sampled(models, requests, max_rows=3), await sampled(models, requests))
