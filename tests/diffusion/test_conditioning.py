"""What conditions say to the network: sizes, pooled text and channels beside the latent.

Where and when they apply is in test_guidance.py, against recorded numbers.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.fitting import repeat_to, spread_to
from diffusion.batch.frame import Frame
from diffusion.batch.preparation import Embed, prepare
from diffusion.batch.prompts import AreaOutsideError, Prompt
from diffusion.families.pooled import PooledTextMissingError
from diffusion.families.sd.family import SD15_LATENT
from diffusion.families.sd.vectors import REFINER, XL, Vector
from diffusion.latent_format import PLAYGROUND_LATENT, process_in, process_out
from diffusion.networks.layers import sinusoids
from diffusion.schedules.model_sampling import discrete
from graph.values import Condition
from tests.diffusion.asking import saying
from tests.diffusion.narrow_stage import drawn

LATENT = drawn(1, 2, 4, 8, 12)


def frame(**options: Any) -> Frame:
    given: dict[str, Any] = {"latent": LATENT, "denoise_mask": None, **options}
    return Frame(sampling=discrete(), format=SD15_LATENT, **given)


def prepared(
    condition: Condition, embed: Embed, name: str = "positive", where: Frame | None = None
) -> Prompt:
    return prepare({name: (condition,)}, where or frame(), embed)[name][0]


def vector(name: str, made: Vector, **extras: Any) -> Tensor:
    condition = Condition(drawn(2, 1, 77, 8), pooled=drawn(3, 1, 16), extras=extras)
    y = prepared(condition, saying(vector=made), name).embedding.y
    assert y is not None
    return y


def sizes(y: Tensor) -> list[float]:
    """The numbers whose sinusoids follow 16 of pooled text; the slowest wave tells them."""
    slowest = math.exp(-math.log(10000) * 127 / 128)
    waves = y[0, 16:].reshape(-1, 2, 128)
    return [round(float(torch.atan2(wave[1, -1], wave[0, -1])) / slowest, 1) for wave in waves]


def test_sdxl_is_told_sizes_crop_and_aim_height_first() -> None:
    y = vector("positive", XL, width=640, height=512, crop_w=3, crop_h=5, target_width=96)
    assert sizes(y) == [512, 640, 5, 3, 512, 96]


def test_sizes_are_the_pictures_own_where_none_are_given() -> None:
    assert sizes(vector("positive", XL)) == [64, 96, 0, 0, 64, 96]


@pytest.mark.parametrize(("name", "score"), [("positive", 6.0), ("negative", 2.5), ("middle", 2.5)])
def test_the_refiner_scores_negatives_lower(name: str, score: float) -> None:
    assert sizes(vector(name, REFINER))[-1] == score


def test_pooled_text_comes_before_the_sizes() -> None:
    assert torch.equal(vector("positive", XL)[:, :16], drawn(3, 1, 16))


def test_a_model_with_sizes_refuses_conditions_without_pooled_text() -> None:
    with pytest.raises(PooledTextMissingError, match="positive"):
        prepared(Condition(drawn(2, 1, 77, 8)), saying(vector=XL))


def test_cosines_come_before_sines() -> None:
    assert torch.equal(
        sinusoids(torch.zeros(1), 256)[0], torch.cat([torch.ones(128), torch.zeros(128)])
    )


def concat(in_channels: int, where: Frame | None = None, **extras: Any) -> Tensor:
    found = prepared(
        Condition(drawn(2, 1, 77, 8), extras=extras), saying(in_channels), where=where
    ).concat
    assert found is not None
    return found


def test_an_inpaint_model_without_a_mask_sees_all_masked_and_grey() -> None:
    channels = concat(9)
    assert channels.shape == (2, 5, 8, 12)
    assert torch.equal(channels[:, 0], torch.ones(2, 8, 12))
    assert channels[0, 1:, 0, 0].tolist() == pytest.approx([0.8223, -0.6876, 0.6364, 0.1380])


def test_an_inpaint_model_sees_the_noise_mask_and_the_latent() -> None:
    mask = torch.zeros(2, 4, 8, 12)
    mask[..., 4:] = 0.7
    channels = concat(9, frame(denoise_mask=mask))
    assert torch.equal(channels[:, :1], mask[:, :1].round())
    assert torch.equal(channels[:, 1:], LATENT)


def test_an_inpaint_condition_brings_its_own_mask_and_picture() -> None:
    picture, mask = drawn(4, 1, 4, 8, 12), torch.ones(1, 1, 64, 96)
    channels = concat(9, concat_latent_image=picture, concat_mask=mask)
    torch.testing.assert_close(channels[1, 1:], picture[0] * 0.18215)
    assert torch.equal(channels[:, 0], torch.ones(2, 8, 12))


def test_instruct_pix2pix_sees_the_picture_as_it_came() -> None:
    picture = drawn(4, 1, 4, 8, 12)
    assert torch.equal(concat(8, concat_latent_image=picture)[1], picture[0])
    assert torch.equal(concat(8), torch.zeros(2, 4, 8, 12))


def test_a_picture_of_other_proportions_is_cut_to_the_latents() -> None:
    picture = torch.zeros(1, 4, 16, 12)
    picture[:, :, 4:12] = 1.0
    assert torch.equal(concat(8, concat_latent_image=picture), torch.ones(2, 4, 8, 12))


def test_channels_beside_the_latent_are_cut_with_its_area() -> None:
    condition = Condition(
        drawn(2, 1, 77, 8), area=(4, 4, 2, 6), extras={"concat_latent_image": LATENT}
    )
    channels = prepared(condition, saying(8)).concat
    assert channels is not None
    assert torch.equal(channels, LATENT[:, :, 2:6, 6:10])


def test_an_area_outside_the_picture_is_refused() -> None:
    prompt = prepared(Condition(drawn(2, 1, 77, 8), area=(4, 4, 8, 0)), saying())
    with pytest.raises(AreaOutsideError, match="outside a latent of 12 by 8"):
        assert prompt.box


def test_a_batch_is_cycled_or_spread() -> None:
    numbers = torch.arange(3)
    assert repeat_to(numbers, 5).tolist() == [0, 1, 2, 0, 1]
    assert spread_to(numbers, 6).tolist() == [0, 0, 1, 1, 2, 2]
    assert spread_to(torch.arange(5), 2).tolist() == [0, 4]


def test_latents_come_back_from_the_models_scale() -> None:
    for latent_format in (SD15_LATENT, PLAYGROUND_LATENT):
        there_and_back = process_out(latent_format, process_in(latent_format, LATENT))
        torch.testing.assert_close(there_and_back, LATENT)
