"""Changes to how the network is run, against ComfyUI 0.3.64.

tests/contract/network.npz has what the narrow UNetModel of unet_shapes.json.gz ("sd15") answers at
timestep 500 to x = 20 seeded("x", [2, 4, h, w]) and context = 20 seeded("context", [2, 9, 768]),
with the patches that the nodes named below lay on it and torch.manual_seed(11); and what the two
caches make of a formula over 24 steps, every third pixel, and whether it was asked.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import prepare
from diffusion.batch.rows import Asking, Draws, Row
from diffusion.families.family import LoadedModel
from diffusion.families.registry import FAMILIES
from diffusion.families.sd.denoiser import UnetDenoiser
from diffusion.families.sd.family import SD15_LATENT
from diffusion.guidance.guided import GuidanceChanges, Guided
from diffusion.guidance.lazy_cache import lazily
from diffusion.guidance.step_caches import Drift, EasyCache, Span
from diffusion.samplers.protocol import Prediction
from diffusion.schedules.model_sampling import discrete
from graph.values import Change, Condition, Model
from tests.diffusion.asking import saying
from tests.diffusion.model_files import CPU, filled, recorded, recorded_shapes, seeded, written
from tests.diffusion.narrow_stage import NARROW, narrow_stage, request, write_models

EXPECTED = recorded("network")
SAMPLING = discrete()
SIGMA = SAMPLING.time.sigmas[500]
FREEU = {"b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.2}
TILES = {"tile_size": 64, "swap_size": 3, "max_depth": 1, "scale_depth": False}
SHRUNK = {
    "block_number": 3,
    "downscale_factor": 2.0,
    "downscale_after_skip": True,
    "downscale_method": "bicubic",
    "upscale_method": "bicubic",
}


def change(kind: str, **options: Any) -> Change:
    return Change(kind, tuple(sorted(options.items())))


CASES = {
    "plain": ((10, 6), ()),
    "freeu": ((10, 6), (change("freeu", **FREEU),)),
    "freeu_v2": ((10, 6), (change("freeu_v2", b1=1.3, b2=1.4, s1=0.9, s2=0.2),)),
    "hypertile": ((16, 24), (change("hypertile", **TILES),)),
    "hypertile_scaled": (
        (16, 24),
        (change("hypertile", tile_size=32, swap_size=2, max_depth=1, scale_depth=True),),
    ),
    "tome": ((10, 6), (change("tome", ratio=0.5),)),
    "tome_odd": ((9, 7), (change("tome", ratio=0.3),)),
    "downscale": ((10, 6), (change("downscale", **SHRUNK),)),
    "downscale_before_skip": (
        (12, 8),
        (
            change(
                "downscale",
                block_number=4,
                downscale_factor=1.5,
                downscale_after_skip=False,
                downscale_method="area",
                upscale_method="bislerp",
            ),
        ),
    ),
    "downscale_and_freeu": (
        (10, 6),
        (
            change("freeu", **FREEU),
            change(
                "downscale",
                block_number=2,
                downscale_factor=2.0,
                downscale_after_skip=True,
                downscale_method="bilinear",
                upscale_method="nearest-exact",
            ),
        ),
    ),
}


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    tensors = filled(recorded_shapes("unet_shapes")["sd15"])
    weights = written(tmp_path_factory.mktemp("unet"), tensors)
    return FAMILIES.load(weights, dtype=torch.float32, device=CPU)


@pytest.fixture(scope="module")
def denoiser(unet: LoadedModel) -> UnetDenoiser:
    return UnetDenoiser(unet, Limits(8, 2**30, torch.float32, CPU))


def row(name: str, seed: int = 11) -> Row:
    (height, width), changes = CASES[name]
    x = seeded("x", (2, 4, height, width)) * 20 * (SIGMA**2 + 1) ** 0.5
    frame = Frame(x, None, SAMPLING, SD15_LATENT)
    condition = Condition(seeded("context", (2, 9, 768)) * 20)
    (prompt,) = prepare({"positive": (condition,)}, frame, saying())["positive"]
    draws = Draws(torch.Generator().manual_seed(seed))
    return Row(x, SIGMA, prompt, SAMPLING, changes, draws=draws, outputs=[])


def assert_as_recorded(name: str, asked: Row) -> None:
    assert asked.outputs is not None
    torch.testing.assert_close(torch.cat(asked.outputs), EXPECTED[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_a_patched_network_answers_as_in_comfyui(name: str, denoiser: UnetDenoiser) -> None:
    asked = row(name)
    denoiser([asked])
    assert_as_recorded(name, asked)


def test_rows_with_other_changes_beside_them_answer_as_alone(denoiser: UnetDenoiser) -> None:
    names = ["plain", "freeu", "tome", "downscale", "plain"]
    rows = [row(name) for name in names]
    denoiser(rows)
    for name, asked in zip(names, rows, strict=True):
        assert_as_recorded(name, asked)


def test_a_call_in_pieces_draws_as_a_whole_one(unet: LoadedModel) -> None:
    one = UnetDenoiser(unet, Limits(1, 2**30, torch.float32, CPU))
    asked = row("tome")
    one([asked])
    assert_as_recorded("tome", asked)


def test_nothing_is_left_on_a_network(unet: LoadedModel, denoiser: UnetDenoiser) -> None:
    denoiser([row("downscale_and_freeu")])
    layers = list(unet.module.modules())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)


SPAN = Span(start=8.0, end=1.0)
STEPS = torch.linspace(10, 0.2, 24)


def noisy(step: int) -> Tensor:
    shape = (1, 4, 16, 16)
    own = seeded(f"step{step // 4}", shape)
    return seeded("cache", shape) * (3 + step * 0.1) + 0.02 * step * own


def formula(x: Tensor) -> Tensor:
    return torch.sin(x * 2) * 0.7 + 0.3 * x.mean((1, 2, 3), keepdim=True) + 0.1 * 0.3


def looked_at(outputs: list[Tensor]) -> Tensor:
    return torch.cat(outputs)[:, :, ::3, ::3]


def finished(asking: Asking[Any], calls: list[int]) -> Any:
    """What `asking` returns, where the network is the formula."""
    calls.append(0)
    try:
        rows = next(asking)
        while True:
            calls[-1] += 1
            answers = []
            for asked in rows:
                output = formula(asked.sampling.input_scaling(asked.sigma, asked.x))
                if asked.outputs is not None:
                    asked.outputs.append(output)
                answers.append(asked.sampling.denoised(asked.sigma, output, asked.x))
            rows = asking.send(answers)
    except StopIteration as end:
        return end.value


def test_easycache_leaves_out_the_steps_that_comfyui_leaves_out() -> None:
    cache = EasyCache(SPAN, Drift(0.2))
    calls: list[int] = []
    outputs = []
    (prompt,) = _prompts()
    for step, sigma in enumerate(STEPS):
        x = noisy(step)
        (denoised,) = finished(cache.ask([Row(x, sigma, prompt, SAMPLING)]), calls)
        outputs.append((x - denoised) / sigma)
    assert calls == EXPECTED["easycache_calls"].tolist()
    torch.testing.assert_close(looked_at(outputs), EXPECTED["easycache"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2])
def test_easycache_adds_the_changes_of_all_prompts_of_a_call_to_one_picture(count: int) -> None:
    cache = EasyCache(SPAN, Drift(1e9))
    calls: list[int] = []
    (positive,), (negative,) = _prompts(), _prompts()
    for step, sigma in enumerate((8.0, 7.0, 6.0)):  # the first two give a rate of change
        x = noisy(step).expand(count, -1, -1, -1)
        rows = [
            Row(x * k, torch.tensor(sigma), p, SAMPLING) for k, p in ((1, positive), (2, negative))
        ]
        added = list(cache.added.values())
        answers = finished(cache.ask(rows), calls)
    assert calls == [1, 1, 0]
    for row, own, answer in zip(rows, added, answers, strict=True):
        change = own if count > 1 else added[0] + added[1]
        output = SAMPLING.input_scaling(row.sigma, row.x) + change
        torch.testing.assert_close(answer, SAMPLING.denoised(row.sigma, output, row.x))


def test_lazycache_leaves_out_the_steps_that_comfyui_leaves_out() -> None:
    def guider(_: Guided, x: Tensor, sigma: Tensor) -> Asking[Prediction]:
        (prompt,) = _prompts()
        yield [Row(x, sigma, prompt, SAMPLING)]
        return Prediction(formula(x), x)

    cached = lazily(guider, SPAN, Drift(0.2))
    guided = Guided({}, {}, SAMPLING, GuidanceChanges())
    calls: list[int] = []
    outputs = [
        finished(cached(guided, noisy(step), sigma), calls).denoised
        for step, sigma in enumerate(STEPS)
    ]
    assert calls == EXPECTED["lazycache_calls"].tolist()
    torch.testing.assert_close(looked_at(outputs), EXPECTED["lazycache"], rtol=0, atol=1e-4)


def _prompts() -> tuple[Any, ...]:
    frame = Frame(noisy(0), None, SAMPLING, SD15_LATENT)
    return prepare({"positive": (Condition(seeded("context", (1, 9, 8))),)}, frame, saying())[
        "positive"
    ]


async def test_jobs_with_different_changes_run_side_by_side(tmp_path: Path) -> None:
    write_models(tmp_path)
    span = {"start_percent": 0.0, "end_percent": 1.0}
    caching = {"reuse_threshold": 0.5, **span}
    models = [
        Model(NARROW),
        Model(NARROW).changed("freeu", **FREEU),
        Model(NARROW).changed("downscale", **SHRUNK, **span),
        Model(NARROW).changed("easycache", **caching),
        Model(NARROW).changed("lazycache", **caching),
    ]
    requests = [request(model=model, steps=6) for model in models]
    stage = narrow_stage(tmp_path)
    together = await asyncio.gather(*(stage.sample(asked) for asked in requests))
    alone = [await stage.sample(asked) for asked in requests]
    await stage.close()
    for (one, _), (other, _) in zip(together, alone, strict=True):
        torch.testing.assert_close(one.samples, other.samples, rtol=1e-5, atol=5e-3)  # of 300
    plain = alone[0][0].samples
    assert all(not torch.allclose(one.samples, plain, atol=1e-3) for one, _ in alone[1:])
