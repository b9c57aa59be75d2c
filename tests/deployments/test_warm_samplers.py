"""A sampler is ready once it has warmed its base models, and says so where it cannot."""

import pytest
from pydantic import ValidationError

from deployments.config import AppConfig, SamplerConfig, WarmSizeConfig
from deployments.local_stages import LocalStages
from deployments.sampler import Sampler
from deployments.site import Site
from graph.errors import BadModelFile, MissingModelFile
from tests.diffusion.narrow_stage import NARROW, write_models

ROWS = (1, 3)
SIZES = (WarmSizeConfig(width=64, height=32, rows=ROWS),)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("models")
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    write_models(checkpoints)
    (checkpoints / "broken.safetensors").write_bytes(b"no model")
    moved = folder / "diffusion_models"
    moved.mkdir()
    (checkpoints / "other.safetensors").rename(moved / "other.safetensors")
    return Site(folder, folder / "private", device="cpu", torch_threads=1)


@pytest.mark.parametrize("base", ["narrow.safetensors", "other.safetensors"])
async def test_a_pinned_sampler_has_its_model_before_it_is_healthy(site: Site, base: str) -> None:
    sampler = Sampler(site, SamplerConfig(warm_sizes=SIZES), base)
    await sampler.check_health()
    assert await _counted(sampler, "comfyray_stage_resident_models") == 1
    assert await _counted(sampler, "comfyray_stage_batch_size_count") == len(ROWS)
    assert await _counted(sampler, "comfyray_stage_batch_size_sum") == sum(ROWS)


async def test_the_local_profile_warms_what_is_named(site: Site) -> None:
    config = AppConfig(sampler=SamplerConfig(warm_bases=(NARROW.name,), warm_sizes=SIZES))
    stages = LocalStages(site, config)
    await stages.check_health()
    assert await _counted(stages, "comfyray_stage_batch_size_sum") == sum(ROWS)


async def _counted(replica: Sampler | LocalStages, name: str) -> float:
    """One figure of the stage that samples."""
    families = [
        own for one in await replica.metrics() if one.stage == "sample" for own in one.families
    ]
    return sum(sample.value for own in families for sample in own.samples if sample.name == name)


async def test_a_model_that_cannot_be_warmed_is_told_at_every_check(site: Site) -> None:
    sampler = Sampler(site, SamplerConfig(), "broken.safetensors")
    for _ in range(2):
        with pytest.raises(BadModelFile):
            await sampler.check_health()


async def test_a_base_that_is_not_there_is_told_at_once(site: Site) -> None:
    with pytest.raises(MissingModelFile, match=r"checkpoints/none\.safetensors"):
        Sampler(site, SamplerConfig(), "none.safetensors")


@pytest.mark.parametrize(
    "config",
    [
        {"sampler": {"compile": True}},
        {"sampler": {"warm_sizes": [{"width": 512, "height": 512}]}},
        {"pinned": {"a.safetensors": {"warm_bases": ["b.safetensors"]}}},
        {"pinned": {"a.safetensors": {"warm_sizes": [{"width": 500, "height": 512}]}}},
    ],
)
def test_settings_that_would_do_nothing_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AppConfig.model_validate(config)
