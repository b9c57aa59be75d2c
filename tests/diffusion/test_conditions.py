"""Conditionings joined, mixed and placed, against ComfyUI's numbers (see recorded_nodes.py)."""

import pytest
import torch
from torch import Tensor

from diffusion.batch.conditions import (
    ConditioningMismatchError,
    average_conditionings,
    combine_conditionings,
    concat_conditionings,
    set_area,
    set_area_percentage,
    set_mask,
    set_strength,
    set_timestep_range,
    with_extras,
    zero_out,
)
from graph.values import Condition, Conditioning
from tests.recorded_nodes import recorded


def prompt(tokens: Tensor, pooled: Tensor | None = None) -> Conditioning:
    return (Condition(tokens, pooled),)


PROMPT: Conditioning = prompt(torch.ones(1, 2, 4), torch.ones(1, 3))


def test_a_shorter_prompt_is_filled_up_with_zeros_to_be_averaged() -> None:
    to = prompt(recorded("a"), recorded("pooled_a"))
    (mixed,) = average_conditionings(to, prompt(recorded("b"), recorded("pooled_b")), 0.3)
    torch.testing.assert_close(mixed.tokens, recorded("average_a_b"))
    torch.testing.assert_close(mixed.pooled, recorded("average_a_b_pooled"))


def test_a_longer_prompt_is_cut_to_be_averaged() -> None:
    (mixed,) = average_conditionings(
        prompt(recorded("a")), prompt(recorded("c"), recorded("pooled_b")), 0.6
    )
    torch.testing.assert_close(mixed.tokens, recorded("average_a_c"))
    torch.testing.assert_close(mixed.pooled, recorded("average_a_c_pooled"))


def test_a_prompt_keeps_its_pooled_text_where_the_other_has_none() -> None:
    to = prompt(recorded("c"), recorded("pooled_a"))
    (mixed,) = average_conditionings(to, prompt(recorded("a")), 0.5)
    torch.testing.assert_close(mixed.tokens, recorded("average_c_a"))
    torch.testing.assert_close(mixed.pooled, recorded("average_c_a_pooled"))


def test_tokens_are_put_one_after_the_other() -> None:
    (joined,) = concat_conditionings(prompt(recorded("a")), prompt(recorded("c")))
    assert torch.equal(joined.tokens, recorded("concat_a_c"))


def test_combined_prompts_stay_apart() -> None:
    assert combine_conditionings(PROMPT, PROMPT) == PROMPT * 2


def test_prompts_of_two_families_of_encoders_are_refused() -> None:
    with pytest.raises(ConditioningMismatchError, match="4 and 8"):
        concat_conditionings(PROMPT, prompt(torch.ones(1, 2, 8)))


def test_an_area_is_said_in_latent_pixels() -> None:
    (placed,) = set_area(PROMPT, width=128, height=64, x=16, y=8, strength=0.5)
    assert (placed.area, placed.area_in_percent, placed.strength) == ((8, 16, 1, 2), False, 0.5)


def test_an_area_may_be_said_in_parts_of_the_picture() -> None:
    (placed,) = set_area_percentage(PROMPT, width=0.5, height=0.25, x=0.1, y=0.2, strength=2.0)
    assert (placed.area, placed.area_in_percent) == ((0.25, 0.5, 0.2, 0.1), True)
    assert placed.strength == 2.0


def test_a_mask_without_a_batch_gets_one() -> None:
    (masked,) = set_mask(PROMPT, torch.ones(3, 5), 0.7, bounds=True)
    assert masked.mask is not None
    assert masked.mask.shape == (1, 3, 5)
    assert (masked.mask_strength, masked.mask_bounds, masked.strength) == (0.7, True, 1.0)


def test_an_area_takes_the_place_of_the_bounds_of_a_mask() -> None:
    masked = set_mask(PROMPT, torch.ones(3, 5), 1.0, bounds=True)
    (placed,) = set_area(masked, width=64, height=64, x=0, y=0, strength=1.0)
    assert placed.mask is not None
    assert not placed.mask_bounds


def test_strength_time_and_extras_leave_the_rest_alone() -> None:
    (changed,) = with_extras(
        set_timestep_range(set_strength(with_extras(PROMPT, width=8), 0.4), 0.1, 0.9), height=16
    )
    assert (changed.strength, changed.start_percent, changed.end_percent) == (0.4, 0.1, 0.9)
    assert changed.extras == {"width": 8, "height": 16}
    assert changed.tokens is PROMPT[0].tokens


def test_zeros_say_nothing() -> None:
    (empty,) = zero_out(PROMPT)
    assert not empty.tokens.any()
    assert empty.pooled is not None
    assert not empty.pooled.any()
