"""Latents with a time axis: [B, C, T, h, w] through sampling, masks, guidance, areas and nodes."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from diffusion.autoencoder.preview import preview
from diffusion.batch.calls import Limits, fitting
from diffusion.batch.conditions import set_area_percentage, set_mask, set_strength
from diffusion.batch.parts import Part
from diffusion.engine.stage import SampleStage
from diffusion.families.family import LoadedModel
from diffusion.families.flux.loading import LATENT as FLUX_LATENT
from diffusion.families.registry import FAMILIES, Families
from diffusion.families.sd.family import SD15_LATENT, SDXL_LATENT
from diffusion.families.sd3.loading import LATENT as SD3_LATENT
from diffusion.guidance.changes import GUIDANCE_CHANGES
from diffusion.latent.batches import batch_latents, latent_from_batch, rebatch_latents
from diffusion.latent.latents import (
    crop_latent,
    flip_latent,
    rotate_latent,
    set_noise_mask,
    upscale_latent,
)
from diffusion.latent_format import process_in
from diffusion.memory.budget import MemoryBudget
from diffusion.samplers import SAMPLERS
from diffusion.schedules.model_sampling import flow
from diffusion.schedules.schedulers import basic
from diffusion.weights import Weights, open_weights
from graph.latent_sizes import HUNYUAN_VIDEO, LTX_VIDEO, SD, SD3
from graph.sampling import Guider, Noise, Rows, SamplerChoice, SampleRequest
from graph.values import Change, Condition, Conditioning, Latent, Model, ModelFile
from tests.diffusion.model_files import CPU, seeded
from tests.diffusion.narrow_stage import drawn
from tests.diffusion.toy_family.family import FAMILY, VIDEO, VIDEOS

FILE = ModelFile("diffusion_models", "toy.safetensors")
WIDTH = 8
SHAPE = (2, 4, 3, 6, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    tensors = {
        "toy_mix.weight": seeded("mix", (4, 4 + WIDTH + 1)) * 5,
        "toy_mix.bias": seeded("bias", (4,)),
    }
    save_file(tensors, folder / FILE.name)
    return folder


def stage(folder: Path, **options: Any) -> SampleStage:
    def opened(file: ModelFile) -> Weights:
        return open_weights(folder / file.name, file)

    given: dict[str, Any] = {"families": Families((VIDEO, *FAMILIES.families)), **options}
    return SampleStage(opened, device=CPU, dtype=torch.float32, memory=MemoryBudget(2**30), **given)


def text(seed: int) -> Conditioning:
    return (Condition(drawn(seed, 1, 5, WIDTH)),)


def request(
    latent: Latent,
    *changes: Change,
    positive: Conditioning | None = None,
    sampler: str = "euler",
    rows: Rows | None = None,
) -> SampleRequest:
    prompts = (("positive", positive or text(1)), ("negative", text(2)))
    guider = Guider("cfg", Model(FILE, changes), prompts, (("cfg", 2.0),))
    sigmas = basic(flow(shift=2.0), "simple", 3)
    return SampleRequest(guider, Noise(7), SamplerChoice(sampler), sigmas, latent, "5", rows=rows)


async def sampled(stage: SampleStage, *requests: SampleRequest) -> list[Tensor]:
    outputs = await asyncio.gather(*map(stage.sample, requests))
    await stage.close()
    return [latent.samples for latent, _ in outputs]


async def alone(folder: Path, asked: SampleRequest, **options: Any) -> Tensor:
    (samples,) = await sampled(stage(folder, **options), asked)
    return samples


async def test_videos_are_sampled_and_share_calls(folder: Path) -> None:
    first, second = request(Latent(torch.zeros(SHAPE))), request(Latent(torch.ones(SHAPE)))
    together = await sampled(stage(folder), first, second)
    for asked, own in zip((first, second), together, strict=True):
        assert own.shape == SHAPE
        torch.testing.assert_close(own, await alone(folder, asked))


async def test_a_picture_is_a_video_of_one_frame(folder: Path) -> None:
    samples = await alone(folder, request(Latent(torch.zeros(1, 16, 6, 5))))
    assert samples.shape == (1, 4, 1, 6, 5)


async def test_frames_of_the_same_noise_differ_in_nothing_but_it(folder: Path) -> None:
    video = await alone(folder, request(Latent(torch.zeros(1, 4, 1, 6, 5))))
    families = Families((FAMILY,))
    picture = await alone(folder, request(Latent(torch.zeros(1, 4, 6, 5))), families=families)
    torch.testing.assert_close(video[:, :, 0], picture)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
async def test_every_sampler_takes_videos(folder: Path, sampler: str) -> None:
    samples = await alone(folder, request(Latent(torch.zeros(SHAPE)), sampler=sampler))
    assert samples.shape == SHAPE
    assert samples.isfinite().all()


@pytest.mark.parametrize("masks", [(3, 48, 40), (1, 1, 48, 40), (1, 1, 3, 6, 5)])
async def test_what_a_mask_leaves_out_is_kept(folder: Path, masks: tuple[int, ...]) -> None:
    original = Latent(drawn(3, *SHAPE))
    mask = torch.zeros(masks)
    mask[..., : masks[-1] // 5] = 1.0
    samples = await alone(folder, request(replace(original, noise_mask=mask)))
    torch.testing.assert_close(samples[..., 2:], original.samples[..., 2:], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(samples[..., :1], original.samples[..., :1], atol=1e-2)


async def test_a_mask_may_let_one_frame_be_made_anew(folder: Path) -> None:
    original = Latent(drawn(3, *SHAPE))
    mask = torch.zeros(1, 1, 3, 6, 5)
    mask[:, :, 1] = 1.0
    samples = await alone(folder, request(replace(original, noise_mask=mask)))
    kept = [0, 2]
    torch.testing.assert_close(
        samples[:, :, kept], original.samples[:, :, kept], rtol=1e-4, atol=1e-4
    )
    assert not torch.allclose(samples[:, :, 1], original.samples[:, :, 1], atol=1e-2)


@pytest.mark.parametrize("clean", [False, True])
async def test_what_is_kept_is_seen_with_noise_or_as_it_is(folder: Path, clean: bool) -> None:
    seen: list[Tensor] = []

    def watching(*arguments: Any) -> Any:
        asked = VIDEO.denoiser(*arguments)
        predict = asked._predict  # type: ignore[attr-defined]

        def watched(parts: list[Part]) -> list[Tensor]:
            seen.extend(part.row.x for part in parts)
            found: list[Tensor] = predict(parts)
            return found

        asked._predict = watched  # type: ignore[attr-defined]
        return asked

    def load(*arguments: Any) -> LoadedModel:
        return replace(VIDEO.load(*arguments), sees_kept_clean=clean)

    latent = Latent(drawn(3, *SHAPE), torch.zeros(1, 1, 3, 6, 5))
    families = Families((replace(VIDEO, load=load, denoiser=watching),))
    await alone(folder, request(latent), families=families)
    kept = process_in(VIDEOS, latent.samples)
    assert all(torch.equal(x, kept) for x in seen) is clean


async def test_prompts_apply_in_areas_and_under_masks(folder: Path) -> None:
    latent = Latent(torch.zeros(SHAPE))
    left = torch.zeros(1, 48, 40)
    left[..., :16] = 1.0
    half = {"width": 0.5, "height": 1.0, "x": 0.0, "y": 0.0, "strength": 0.8}
    for own in (
        set_mask(text(3), left, 0.7, bounds=False),
        set_area_percentage(text(3), **half),
        set_strength(text(3), 0.5),
    ):
        mixed = await alone(folder, request(latent, positive=(*text(1), *own)))
        plain = await alone(folder, request(latent))
        assert mixed.shape == SHAPE
        assert not torch.allclose(mixed[..., :1], plain[..., :1], atol=1e-4)


@pytest.mark.parametrize("kind", ["cfg_zero_star", "linear_cfg", "rescale_cfg", "mahiro"])
async def test_guidance_may_be_changed(folder: Path, kind: str) -> None:
    assert kind in GUIDANCE_CHANGES
    change = Change(kind, (("multiplier", 0.7), ("min_cfg", 1.0)))
    samples = await alone(folder, request(Latent(torch.zeros(SHAPE)), change))
    assert samples.shape == SHAPE


async def test_rows_of_a_batch_of_videos_are_as_within_the_whole(folder: Path) -> None:
    latent = Latent(torch.zeros(3, *SHAPE[1:]))
    whole = await alone(folder, request(latent))
    parts = [
        await alone(folder, request(latent, rows=rows)) for rows in (Rows(0, 1, 3), Rows(1, 3, 3))
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


async def test_calls_never_divide_what_sees_itself(folder: Path) -> None:
    joining = replace(VIDEO, joining_changes=frozenset({"rescale_cfg"}))
    change = Change("rescale_cfg", (("multiplier", 0.0),))
    counts: list[int] = []

    def counting(*arguments: Any) -> Any:
        asked = VIDEO.denoiser(*arguments)
        predict = asked._predict  # type: ignore[attr-defined]

        def watched(parts: list[Part]) -> list[Tensor]:
            counts.append(sum(part.count for part in parts))
            found: list[Tensor] = predict(parts)
            return found

        asked._predict = watched  # type: ignore[attr-defined]
        return asked

    asked = request(Latent(torch.zeros(5, *SHAPE[1:])), change)
    for family, most in ((joining, 5), (VIDEO, 2)):
        counts.clear()
        families = Families((replace(family, denoiser=counting),))
        await alone(folder, asked, families=families, max_rows=2)
        assert max(counts) == most


def test_a_part_that_may_not_be_cut_is_a_call_of_its_own() -> None:
    def part(count: int, *, divisible: bool) -> Part:
        row: Any = type("Row", (), {"divisible": divisible})()
        return Part(row, 0, count)

    small, large = part(2, divisible=True), part(5, divisible=False)
    assert fitting([small, large], 4) == ([small], [large])
    assert fitting([large, small], 4) == ([large], [small])
    head, rest = fitting([part(2, divisible=False), small], 3)
    assert [one.count for one in (*head, *rest)] == [2, 1, 1]


def test_the_first_frame_is_shown() -> None:
    latent = drawn(4, *SHAPE)
    shown = Image.open(io.BytesIO(preview(VIDEOS, latent)))
    assert shown.size == (5 * VIDEOS.px, 6 * VIDEOS.px)
    assert preview(VIDEOS, latent) == preview(VIDEOS, latent[:, :, 0])


def test_a_limit_counts_frames() -> None:
    limits = Limits(100, 2**16, torch.float32, CPU)
    model: Any = type("Model", (), {"module": None})()
    denoiser = FAMILY.denoiser(model, limits)
    assert denoiser.limit(6, 8) == 4 * denoiser.limit(4, 6, 8) + 1


NODES: dict[str, Callable[[Latent], Latent]] = {
    "upscale": lambda own: upscale_latent(own, 80, 96, "bilinear", "disabled"),
    "crop": lambda own: crop_latent(own, 16, 24, 8, 8),
    "rotate": lambda own: rotate_latent(own, "90 degrees"),
    "flip x": lambda own: flip_latent(own, "x-axis: vertically"),
    "flip y": lambda own: flip_latent(own, "y-axis: horizontally"),
}


@pytest.mark.parametrize("work", NODES.values(), ids=NODES)
def test_nodes_treat_frames_alike(work: Callable[[Latent], Latent]) -> None:
    video = drawn(5, 2, 4, 3, 12, 10)
    whole = work(Latent(video)).samples
    for k in range(video.shape[2]):
        assert torch.equal(whole[:, :, k], work(Latent(video[:, :, k])).samples)


def test_batches_of_videos() -> None:
    latent = Latent(drawn(5, *SHAPE))
    assert batch_latents(latent, latent).samples.shape == (4, *SHAPE[1:])
    assert latent_from_batch(latent, 1, 1).samples.shape == (1, *SHAPE[1:])
    longer = Latent(torch.zeros(1, 4, 5, 6, 5))
    rebatched = rebatch_latents([latent, longer], 2)
    assert [part.samples.shape[0] for part in rebatched] == [2, 1]
    assert set_noise_mask(latent, torch.ones(3, 48, 40)).noise_mask is not None


def test_nodes_make_what_families_take() -> None:
    pairs = ((SD, SD15_LATENT), (SD, SDXL_LATENT), (SD3, SD3_LATENT), (SD3, FLUX_LATENT))
    for size, own in pairs:
        assert (size.channels, size.px, size.frames) == (own.channels, own.px, own.frames)
    assert SD.shape(2, 64, 48) == (2, 4, 6, 8)
    assert HUNYUAN_VIDEO.shape(1, 64, 48, 9) == (1, 16, 3, 6, 8)
    assert LTX_VIDEO.shape(1, 64, 96, 17) == (1, 128, 3, 3, 2)
