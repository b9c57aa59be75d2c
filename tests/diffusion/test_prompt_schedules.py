"""Prompts mixed for every frame: one batch of tokens."""

import torch

from diffusion.text.prompt_schedules import blended
from graph.values import Condition


def test_frames_are_a_batch_of_mixed_tokens() -> None:
    first = (Condition(torch.ones(1, 2, 3), torch.full((1, 4), 1.0)),)
    second = (Condition(torch.full((1, 4, 3), 5.0), torch.full((1, 4), 2.0)),)
    (mixed,) = blended([(first, second, 1.0), (first, second, 0.25)])
    assert mixed.tokens.shape == (2, 4, 3)
    assert mixed.tokens[0, :, 0].tolist() == [0, 1, 1, 0]  # the shorter one in the middle
    assert mixed.tokens[1, :, 0].tolist() == [3.75, 4.0, 4.0, 3.75]
    assert mixed.pooled is not None
    assert mixed.pooled.tolist() == [[2.0] * 4] * 2  # the next prompt's
