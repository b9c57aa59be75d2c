"""What the layers of a U-Net read: a row's prompt, or what a control has it read instead."""

from types import SimpleNamespace
from typing import Any

import torch

from diffusion.batch.parts import Part
from diffusion.batch.prompts import Embedding
from diffusion.families.sd.attention import Attention
from diffusion.families.sd.contexts import Contexts


def part(embedding: Embedding) -> Part:
    row: Any = SimpleNamespace(prompt=SimpleNamespace(embedding=embedding))
    return Part(row, 0, 1)


def test_a_control_may_have_other_texts_read_of_other_lengths() -> None:
    torch.manual_seed(0)
    contexts = Contexts({"layer": Attention(8, 4, 2)}, torch.float32)
    prompts = [Embedding(torch.randn(1, 6, 4)), Embedding(torch.randn(1, 6, 4))]
    others = [Embedding(torch.randn(1, 2, 4)), prompts[1]]
    found = contexts.beside([part(prompt) for prompt in prompts], others)
    expected = contexts.beside([part(other) for other in others])
    for mine, theirs in zip(found["layer"], expected["layer"], strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(found["layer"][0], contexts.beside(list(map(part, prompts)))["layer"][0])
