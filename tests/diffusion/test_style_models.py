"""Redux: what SigLIP sees in a picture, as tokens that a prompt goes on with."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diffusion.vision.clip_vision import load_clip_vision
from diffusion.vision.siglip import LoadedSiglip
from diffusion.vision.style_models import BIAS, load_style_model, with_style
from graph.errors import BadModelFile
from graph.values import Condition
from tests.diffusion.model_files import CPU, seeded, written
from tests.diffusion.narrow_stage import drawn

REDUX = {
    "redux_up.weight": (24, 8),
    "redux_up.bias": (24,),
    "redux_down.weight": (6, 24),
    "redux_down.bias": (6,),
}


def condition(tokens: int = 3) -> Condition:
    return Condition(drawn(1, 1, tokens, 6), drawn(2, 1, 4))


def test_what_was_seen_becomes_tokens(tmp_path: Path) -> None:
    tensors = {key: seeded(key, shape) for key, shape in REDUX.items()}
    redux = load_style_model(written(tmp_path, tensors), dtype=torch.float32, device=CPU)
    seen = drawn(3, 2, 5, 8)
    up = functional.silu(seen @ tensors["redux_up.weight"].T + tensors["redux_up.bias"])
    expected = up @ tensors["redux_down.weight"].T + tensors["redux_down.bias"]
    assert torch.allclose(redux(seen), expected.reshape(1, 10, 6), atol=1e-5)


def test_another_file_is_no_style_model(tmp_path: Path) -> None:
    weights = written(tmp_path, {"style_embedding": torch.zeros(1)})
    with pytest.raises(BadModelFile, match="no Redux"):
        load_style_model(weights, dtype=torch.float32, device=CPU)


def test_strength_multiplies_tokens() -> None:
    tokens = drawn(4, 1, 2, 6)
    (styled,) = with_style((condition(),), tokens, 0.5, as_bias=False)
    assert torch.equal(styled.tokens[:, 3:], tokens * 0.5)
    assert torch.equal(styled.tokens[:, :3], condition().tokens)
    assert BIAS not in styled.extras


def masked(sizes: list[int], strengths: list[float]) -> Tensor:
    """ComfyUI's mask, whose last row and column are the picture, group after group of tokens."""
    total = sum(sizes)
    mask = torch.zeros(total + 1, total + 1)
    start = sizes[0]
    for size, strength in zip(sizes[1:], strengths, strict=True):
        earlier = [*range(start), total]
        for row in earlier:
            mask[row, start : start + size] = math.log(strength) if strength else -math.inf
        start += size
    return mask


@pytest.mark.parametrize("strengths", [[0.5], [0.0], [0.25, 2.0]])
def test_strength_biases_attention(strengths: list[float]) -> None:
    conditioning: Any = (condition(),)
    for strength in strengths:
        conditioning = with_style(conditioning, drawn(4, 1, 2, 6), strength, as_bias=True)
    bias = conditioning[0].extras[BIAS]
    expected = masked([3, *[2] * len(strengths)], strengths)
    assert torch.equal(bias[:, :-1], expected[:-1, :-1])
    assert torch.equal(bias[:, -1], expected[-1, :-1])


def test_a_siglip_file_sees_as_transformers_does(tmp_path: Path) -> None:
    from transformers import SiglipVisionConfig, SiglipVisionModel  # noqa: PLC0415

    config = SiglipVisionConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=1,
        image_size=28,
        patch_size=14,
        vision_use_head=False,
    )
    module: Any = SiglipVisionModel(config)
    module.eval()
    inner: Any = getattr(module, "vision_model", module)
    drawn_weights = {key: seeded(key, tuple(t.shape)) for key, t in inner.named_parameters()}
    inner.load_state_dict(drawn_weights, strict=False)
    tensors = {f"vision_model.{key}": tensor for key, tensor in drawn_weights.items()}
    loaded = load_clip_vision(written(tmp_path, tensors), dtype=torch.float32, device=CPU)
    assert isinstance(loaded, LoadedSiglip)
    picture = (drawn(5, 1, 28, 28, 3).sigmoid() * 255).round() / 255
    with torch.no_grad():
        expected = module(picture.movedim(-1, 1) * 2 - 1).last_hidden_state
    assert torch.allclose(loaded.see(picture).last_hidden_state, expected, atol=1e-4)
