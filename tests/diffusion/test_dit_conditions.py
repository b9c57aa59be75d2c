"""What conditions say to transformers: guidance, pictures to go by, what is filled in."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch

from diffusion.batch.conditions import with_extras, with_reference
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import TextWidthError, check_widths, prepare
from diffusion.dit.conditions import GUIDANCE
from diffusion.families.flux.concat import concat_channels
from diffusion.families.flux.conditions import embed
from diffusion.families.flux.loading import DEV_FLOW
from diffusion.families.flux.loading import LATENT as FLUX_LATENT
from diffusion.guidance.model_changes import model_sampling
from diffusion.latent_format import process_in
from graph.values import Condition, Latent
from imaging.kontext import SIZES, scaled_for_kontext
from tests.diffusion.narrow_stage import drawn


@dataclass(frozen=True)
class Plain:
    """A model that takes nothing beside its latent."""

    in_channels: int = 16


def frame() -> Frame:
    sampling = model_sampling(DEV_FLOW, ())
    return Frame(drawn(1, 2, 16, 4, 6), None, sampling, FLUX_LATENT)


def condition(**extras: Any) -> Condition:
    return Condition(drawn(2, 1, 5, 32), drawn(3, 1, 24), extras=extras)


def embedding(condition: Condition) -> Any:
    plain: Any = Plain()
    prompts = prepare({"positive": (condition,)}, frame(), partial(embed, plain))
    return prompts["positive"][0].embedding


@pytest.mark.parametrize(
    ("extras", "expected"),
    [({}, GUIDANCE), ({"guidance": 2.0}, 2.0), ({"guidance": None}, None)],
)
def test_guidance_is_told_unless_it_is_disabled(extras: Any, expected: float | None) -> None:
    assert embedding(condition(**extras)).guidance == expected


def test_pictures_to_go_by_come_in_the_models_scale() -> None:
    first, second = drawn(4, 1, 16, 4, 4), drawn(5, 1, 16, 6, 6)
    conditioning = with_reference((condition(),), Latent(first))
    conditioning = with_reference(conditioning, Latent(second))
    (told,) = with_extras(conditioning, reference_latents_method="index")
    found = embedding(told)
    assert found.reference_places == "index"
    for reference, latent in zip(found.references, (first, second), strict=True):
        assert torch.equal(reference, process_in(FLUX_LATENT, latent))


def test_text_of_another_family_is_refused() -> None:
    check_widths([("positive", (condition(),))], 32)
    with pytest.raises(TextWidthError, match=r"positive.*width 32, this model reads 4096"):
        check_widths([("positive", (condition(),))], 4096)


def test_a_plain_model_takes_no_more_channels() -> None:
    assert concat_channels({}, frame(), 16) is None


def test_a_model_that_goes_by_a_picture_gets_its_latent() -> None:
    picture = drawn(6, 1, 16, 4, 6)
    channels = concat_channels({"concat_latent_image": picture}, frame(), 32)
    assert channels is not None
    assert torch.allclose(channels, process_in(FLUX_LATENT, picture).expand(2, -1, -1, -1))


def test_a_model_that_fills_in_gets_every_pixel_of_the_mask() -> None:
    picture = drawn(6, 1, 16, 4, 6)
    mask = drawn(7, 1, 32, 48).sigmoid()
    known = {"concat_latent_image": picture, "concat_mask": mask}
    channels = concat_channels(known, frame(), 96)
    assert channels is not None
    assert channels.shape == (2, 80, 4, 6)
    assert torch.allclose(channels[:, :16], process_in(FLUX_LATENT, picture).expand(2, -1, -1, -1))
    for row, column in ((0, 0), (3, 5), (7, 7)):
        expected = mask[:, row::8, column::8]
        assert torch.allclose(channels[:, 16 + 8 * row + column], expected.expand(2, -1, -1))


def test_nothing_said_is_all_to_be_painted() -> None:
    channels = concat_channels({}, frame(), 96)
    assert channels is not None
    assert torch.equal(channels[:, 16:], torch.ones(2, 64, 4, 6))
    masked = replace(frame(), denoise_mask=torch.zeros(2, 16, 4, 6))
    told = concat_channels({}, masked, 96)
    assert told is not None
    assert not told[:, 16:].any()


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (672, 1568), (1568, 672)])
def test_pictures_for_kontext_keep_their_shape(width: int, height: int) -> None:
    assert (width, height) in SIZES
    scaled = scaled_for_kontext(torch.rand(1, height // 8, width // 8, 3))
    assert scaled.shape[1:3] == (height, width)
