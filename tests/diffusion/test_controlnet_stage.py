"""Jobs under control in the sample stage."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.control.controlled import apply_control, apply_control_to_both
from graph.errors import BadModelFile
from graph.sampling import SampleRequest
from graph.values import ControlNet, Latent, ModelFile
from tests.diffusion.control_files import (
    ADAPTER,
    CONTROL,
    DAMAGED,
    FOREIGN,
    OTHER_CONTROL,
    write_controls,
)
from tests.diffusion.narrow_stage import narrow_stage, prompt, request, write_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controlled")
    write_models(folder)
    write_controls(folder)
    return folder


def hint(seed: int, *shape: int) -> Tensor:
    size = shape or (1, 64, 64, 3)
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def both(
    seed: int, file: ModelFile, *, strength: float = 1.0, start: float = 0.0, end: float = 1.0
) -> dict[str, Any]:
    positive, negative = apply_control_to_both(
        prompt(seed),
        prompt(seed + 100),
        ControlNet(file),
        hint(seed),
        strength=strength,
        start_percent=start,
        end_percent=end,
    )
    return {"positive": positive, "negative": negative}


async def sampled(models: Path, *requests: SampleRequest, **options: Any) -> list[Tensor]:
    stage = narrow_stage(models, **options)
    outputs = await asyncio.gather(*map(stage.sample, requests))
    await stage.close()
    return [latent.samples for latent, _ in outputs]


async def one(models: Path, asked: SampleRequest) -> Tensor:
    return (await sampled(models, asked))[0]


def assert_same(together: Sequence[Tensor], alone: Sequence[Tensor]) -> None:
    """Equal in latents of unit spread."""
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4 * max(1.0, float(b.std())))


def differ(a: Tensor, b: Tensor) -> bool:
    return float((a - b).abs().max()) > 1e-2 * float(b.std())


async def test_a_controlled_job_does_not_depend_on_its_company(models: Path) -> None:
    chained = apply_control(prompt(7), ControlNet(CONTROL), hint(8, 2, 40, 64, 3), 0.8)
    chained = apply_control(chained, ControlNet(OTHER_CONTROL), hint(9), 0.5)
    requests = [
        request(1, **both(1, CONTROL)),
        request(2, **both(2, CONTROL, strength=0.4, start=0.3, end=0.8), steps=4),
        request(3, **both(3, OTHER_CONTROL)),
        request(4),
        request(5, positive=chained, latent=Latent(torch.zeros(3, 4, 8, 8))),
        request(6, **both(6, ADAPTER)),
        request(
            7, positive=apply_control(both(7, ADAPTER)["positive"], ControlNet(CONTROL), hint(7), 1)
        ),
    ]
    apart = [await one(models, each) for each in requests]
    assert_same(await sampled(models, *requests), apart)


@pytest.mark.parametrize("file", [CONTROL, ADAPTER])
async def test_control_changes_the_picture(models: Path, file: ModelFile) -> None:
    assert differ(await one(models, request(1, **both(1, file))), await one(models, request(1)))


async def test_control_of_no_time_changes_nothing(models: Path) -> None:
    late = request(1, **both(1, CONTROL, start=0.999, end=0.9995))
    assert torch.equal(await one(models, late), await one(models, request(1)))


async def test_control_of_no_strength_is_none() -> None:
    conditions = prompt(1)
    assert apply_control(conditions, ControlNet(CONTROL), hint(1), 0.0) is conditions


async def test_a_negative_without_control_takes_the_positives(models: Path) -> None:
    use = (ControlNet(CONTROL), hint(1))
    lent = request(1, positive=apply_control(prompt(1), *use, 0.9))
    positive, negative = apply_control_to_both(
        prompt(1), prompt(101), *use, strength=0.9, start_percent=0.0, end_percent=1.0
    )
    told = request(1, positive=positive, negative=negative)
    assert torch.equal(await one(models, lent), await one(models, told))


async def test_a_negative_with_control_keeps_its_own(models: Path) -> None:
    positive = apply_control(prompt(1), ControlNet(CONTROL), hint(1), 0.9)
    negative = apply_control(prompt(101), ControlNet(CONTROL), hint(2), 0.3)
    kept = request(1, positive=positive, negative=negative)
    assert differ(await one(models, kept), await one(models, request(1, positive=positive)))


@pytest.mark.parametrize(
    ("file", "reason"), [(FOREIGN, "text of width 64"), (DAMAGED, "controlnet_mid_block")]
)
async def test_a_wrong_file_fails_its_own_request_only(
    models: Path, file: ModelFile, reason: str
) -> None:
    stage = narrow_stage(models)
    with pytest.raises(BadModelFile, match=reason) as raised:
        await stage.sample(request(1, **both(1, file)))
    await stage.sample(request(1, **both(1, CONTROL)))
    await stage.close()
    assert raised.value.name == file.name


async def test_weights_of_controls_count_towards_the_budget(models: Path) -> None:
    stage = narrow_stage(models)
    await stage.sample(request(1))
    before = stage.used_bytes
    await stage.sample(request(1, **both(1, CONTROL)))
    after = stage.used_bytes
    await stage.close()
    assert after - before > 2**20
