"""What IP-Adapter nodes ask of the encode stage."""

from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion.families.registry import FAMILIES
from diffusion.vision.ip_adapter import ImageEncoderMismatchError, load_projection
from diffusion.vision.stage import NoAdapterForModelError, NoImageEncoderError, VisionStage
from graph.image_prompts import ImageUse, Pictures
from graph.values import ClipVision, IpAdapter, Model, ModelFile
from tests.diffusion.image_files import SEEN, SIDE
from tests.diffusion.model_files import CPU
from tests.diffusion.narrow_adapters import BASE, EYE, PLUS, opener, write_adapters
from tests.diffusion.narrow_stage import NARROW, drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("adapters")
    write_adapters(where)
    return where


def vision(folder: Path) -> VisionStage:
    return VisionStage(
        opener(folder),
        dtype=torch.float32,
        device=CPU,
        budget_bytes=2**30,
        adapters_of=FAMILIES.image_adapters,
    )


EYES = ClipVision(EYE)


def adapter(file: ModelFile, clip_vision: ClipVision | None = EYES) -> IpAdapter:
    return IpAdapter((("", file),), clip_vision)


async def test_what_is_not_pictured_is_a_zero_vector_or_a_black_picture(folder: Path) -> None:
    stage = vision(folder)
    image = drawn(1, 1, SIDE, SIDE, 3).clamp(0, 1)
    seen = await stage.encode_image(ClipVision(EYE), image, crop=True)
    black = await stage.encode_image(ClipVision(EYE), torch.zeros_like(image), crop=True)
    expected = {
        BASE: (seen.image_embeds, torch.zeros_like(seen.image_embeds)),
        PLUS: (seen.penultimate_hidden_states, black.penultimate_hidden_states),
    }
    for file, (positive, negative) in expected.items():
        project = load_projection(opener(folder)(file), dtype=torch.float32, device=CPU)
        made = await stage.image_prompt(
            Model(NARROW), adapter(file), None, Pictures(image), ImageUse()
        )
        torch.testing.assert_close(made.positive, project(positive))
        torch.testing.assert_close(made.negative, project(negative))
        embeds = await stage.image_embeds(adapter(file), None, image, weight=2.0, mask=None)
        torch.testing.assert_close(embeds[0], positive * 2)


@pytest.mark.parametrize("method", ["add", "subtract", "average", "norm average"])
async def test_several_pictures_become_one(method: Any, folder: Path) -> None:
    stage = vision(folder)
    images = drawn(1, 3, SIDE, SIDE, 3).clamp(0, 1)
    seen = (await stage.encode_image(ClipVision(EYE), images, crop=True)).image_embeds
    one = {
        "add": seen.sum(0),
        "subtract": seen[0] - seen[1:].mean(0),
        "average": seen.mean(0),
        "norm average": (seen / seen.pow(2).sum(0).sqrt()).mean(0),
    }[method]
    project = load_projection(opener(folder)(BASE), dtype=torch.float32, device=CPU)
    pictures = Pictures(images, combining=method)
    made = await stage.image_prompt(Model(NARROW), adapter(BASE), None, pictures, ImageUse())
    torch.testing.assert_close(made.positive, project(one[None]))
    assert len(made.negative) == 1


async def test_what_does_not_belong_together_is_told(folder: Path, tmp_path: Path) -> None:
    stage, image = vision(folder), torch.zeros(1, SIDE, SIDE, 3)
    with pytest.raises(NoImageEncoderError, match=r"base\.safetensors"):
        await stage.image_prompt(
            Model(NARROW), adapter(BASE, None), None, Pictures(image), ImageUse()
        )
    pictures = Pictures(seen_positive=torch.zeros(1, SEEN + 1))
    with pytest.raises(ImageEncoderMismatchError, match=f"width {SEEN}"):
        await stage.image_prompt(Model(NARROW), adapter(BASE), None, pictures, ImageUse())
    only_sdxl = IpAdapter((("sdxl", BASE),), EYES)
    with pytest.raises(NoAdapterForModelError, match="sd15"):
        await stage.image_prompt(Model(NARROW), only_sdxl, None, Pictures(image), ImageUse())
