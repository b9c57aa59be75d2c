"""Pictures of latents on their way: small, in the right colours, and not too often."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from diffusion.autoencoder.preview import Previews, preview
from diffusion.families.sd.family import SD15_LATENT, SDXL_LATENT
from diffusion.latent_format import LatentFormat
from graph.events import Progress, Warned
from tests.diffusion.narrow_stage import narrow_stage, request, write_models

FOUR, SIXTEEN = SD15_LATENT, LatentFormat(16, 1.0)


def shown(format: LatentFormat, denoised: Tensor) -> Image.Image:
    return Image.open(io.BytesIO(preview(format, denoised)))


def color(format: LatentFormat, *channels: float) -> tuple[int, ...]:
    """What a latent of one colour is shown as."""
    latent = torch.tensor(channels).reshape(1, -1, 1, 1).expand(1, len(channels), 8, 8)
    pixel = shown(format, latent).getpixel((30, 30))
    assert isinstance(pixel, tuple)
    return pixel


def test_an_empty_latent_is_the_grey_that_its_family_decodes_it_to() -> None:
    assert color(SD15_LATENT, 0, 0, 0, 0) == pytest.approx((128, 128, 128), abs=2)
    assert color(SDXL_LATENT, 0, 0, 0, 0) == pytest.approx((150, 140, 130), abs=2)


def test_the_first_channel_is_light_in_either_family() -> None:
    assert color(SD15_LATENT, 1, 0, 0, 0) == pytest.approx((165, 154, 154), abs=2)
    assert color(SDXL_LATENT, 1, 0, 0, 0) == pytest.approx((210, 200, 190), abs=2)


@pytest.mark.parametrize(
    ("latent", "picture"),
    [((8, 16), (128, 64)), ((128, 96), (384, 512)), ((512, 1024), (512, 256)), ((1, 64), (512, 8))],
)
def test_a_preview_is_a_jpeg_of_the_pictures_size_or_of_512_px(
    latent: tuple[int, int], picture: tuple[int, int]
) -> None:
    it = shown(FOUR, torch.zeros(1, 4, *latent))
    assert (it.format, it.mode, it.size) == ("JPEG", "RGB", picture)


def test_of_a_batch_the_first_picture_is_shown() -> None:
    batch = torch.cat([torch.ones(1, 4, 8, 8), torch.zeros(2, 4, 8, 8)])
    assert preview(FOUR, batch) == preview(FOUR, batch[:1])


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_other_latents_are_stretched_to_the_full_range(channels: int) -> None:
    ramp = torch.linspace(-7, 90, 32 * 32).reshape(1, 1, 32, 32).repeat(1, channels, 1, 1)
    darkest, lightest = shown(SIXTEEN, ramp).convert("L").getextrema()
    assert darkest == pytest.approx(0, abs=4)
    assert lightest == pytest.approx(255, abs=4)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_a_latent_out_of_range_is_shown_all_the_same(value: float) -> None:
    assert shown(FOUR, torch.full((1, 4, 8, 8), value)).size == (64, 64)
    assert shown(SIXTEEN, torch.full((1, 16, 8, 8), value)).size == (64, 64)


def test_steps_that_come_too_soon_are_not_shown() -> None:
    times = iter((10.0, 10.2, 10.4999, 10.5, 10.9, 11.6))
    previews = Previews(now=lambda: next(times))
    latent = torch.zeros(1, 4, 8, 8)
    made = [previews(FOUR, latent) is not None for _ in range(6)]
    assert made == [True, False, False, True, False, True]


async def test_progress_carries_a_preview_in_the_colours_of_the_model(tmp_path: Path) -> None:
    write_models(tmp_path)
    stage, told = narrow_stage(tmp_path), list[Progress | Warned]()
    times = iter((0.0, 0.1, 0.6))
    await stage.sample(request(), told.append, preview=Previews(now=lambda: next(times)))
    await stage.close()
    jpegs = [event.preview for event in told if isinstance(event, Progress)]
    assert [jpeg is not None and jpeg[:2] == b"\xff\xd8" for jpeg in jpegs] == [True, False, True]
