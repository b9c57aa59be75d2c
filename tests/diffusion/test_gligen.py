"""Boxes of text in prompts."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diffusion.batch.grounding import GroundingMismatchError
from graph.errors import BadModelFile
from graph.nodes.gligen import TooManyBoxesError, apply_text_box
from graph.values import Clip, Condition, Conditioning, Grounding, Latent, TextBox
from tests.diffusion.core_sampling import close
from tests.diffusion.gligen_files import GLIGEN, gligen_tensors, write_gligen
from tests.diffusion.narrow_stage import (
    drawn,
    narrow_stage,
    prompt,
    request,
    write_models,
)

FIRST = TextBox(drawn(31, 1, 768), 4, 5, 1, 2)
SECOND = TextBox(drawn(32, 1, 768), 6, 3, 0, 4)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gligen")
    write_models(folder)
    write_gligen(folder)
    return folder


def grounded(seed: int, *boxes: TextBox) -> Conditioning:
    return prompt(seed, grounding=Grounding(GLIGEN, boxes))


async def test_boxes_of_the_positive_are_heard_as_in_comfyui(models: Path) -> None:
    """The negative borrows them; of two pictures both hear them; others' calls are left alone."""
    stage = narrow_stage(models)
    asked = request(
        positive=grounded(1, FIRST, SECOND),
        negative=prompt(101),
        latent=Latent(torch.zeros(2, 4, 8, 8)),
    )
    other = replace(
        asked, guider=replace(asked.guider, conditionings=request().guider.conditionings)
    )
    alone, _ = await stage.sample(other)
    (found, _), (beside, _) = await asyncio.gather(stage.sample(asked), stage.sample(other))
    await stage.close()
    assert close(found.samples, "gligen/plain")
    assert torch.allclose(beside.samples, alone.samples, atol=1e-3)


async def test_boxes_lie_within_the_area_of_their_prompt(models: Path) -> None:
    stage = narrow_stage(models)
    area = grounded(2, SECOND)
    area = tuple(replace(own, area=(4, 4, 2, 2)) for own in area)
    asked = request(
        sampler="dpmpp_2m",
        positive=grounded(1, FIRST, SECOND) + area,
        negative=prompt(101) + prompt(102),
    )
    found, _ = await stage.sample(asked)
    await stage.close()
    assert close(found.samples, "gligen/area")


async def test_what_does_not_fit_is_refused(models: Path) -> None:
    stage = narrow_stage(models)
    narrow = replace(FIRST, said=torch.zeros(1, 64))
    with pytest.raises(GroundingMismatchError):
        await stage.sample(request(positive=grounded(1, narrow)))
    tensors = gligen_tensors()
    del tensors["position_net.linears.2.bias"]
    save_file(tensors, models / GLIGEN.file.name)
    damaged = narrow_stage(models)
    with pytest.raises(BadModelFile, match="missing"):
        await damaged.sample(request(positive=grounded(1, FIRST)))
    middle = {k: v for k, v in gligen_tensors().items() if not k.startswith("output_blocks.1")}
    save_file(middle, models / GLIGEN.file.name)
    misfit = narrow_stage(models)
    with pytest.raises(BadModelFile, match="3 transformers"):
        await misfit.sample(request(positive=grounded(1, FIRST)))
    for own in (stage, damaged, misfit):
        await own.close()
    write_gligen(models)


async def test_the_node_adds_boxes_up_to_thirty() -> None:
    class Encoders:
        async def encode_text(self, _clip: Clip, _text: str) -> Conditioning:
            return (Condition(torch.zeros(1, 77, 768), drawn(3, 1, 768)),)

    told = prompt(1)
    for _ in range(30):
        told = await apply_text_box(
            Encoders(),  # type: ignore[arg-type]
            conditioning_to=told,
            clip=Clip(()),
            gligen_textbox_model=GLIGEN,
            text="a red ball",
            width=72,
            height=64,
            x=8,
            y=16,
        )
    assert told[0].grounding is not None
    box = told[0].grounding.boxes[29]
    assert (box.height, box.width, box.y, box.x) == (8, 9, 2, 1)
    with pytest.raises(TooManyBoxesError):
        await apply_text_box(
            Encoders(),  # type: ignore[arg-type]
            conditioning_to=told,
            clip=Clip(()),
            gligen_textbox_model=GLIGEN,
            text="one more",
        )
