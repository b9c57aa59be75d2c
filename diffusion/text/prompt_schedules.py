"""Prompt schedules: one batch that interpolates between encoded prompts, frame by frame.

(FizzleDorf/ComfyUI_FizzNodes ScheduleFuncs.py, addWeighted)
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from graph.values import Condition, Conditioning


def blended(parts: Sequence[tuple[Conditioning, Conditioning, float]]) -> Conditioning:
    """One condition with an entry for each part: so much of the first, the rest of the second.

    The pooled text is the second's, as in the pack.
    """
    longest = max(own[0].tokens.shape[1] for pair in parts for own in pair[:2])
    tokens, pooled = [], []
    for first, second, weight in parts:
        now, following = (_padded(own[0].tokens, longest) for own in (first, second))
        tokens.append(now * weight + following * (1.0 - weight))
        pooled.append(second[0].pooled)
    known = [own for own in pooled if own is not None]
    whole = torch.cat(known) if len(known) == len(pooled) else None
    return (Condition(torch.cat(tokens), whole),)


def _padded(tokens: Tensor, length: int) -> Tensor:
    """Zeros before and behind, as many."""
    missing = length - tokens.shape[1]
    return functional.pad(tokens, (0, 0, missing // 2, missing - missing // 2))
