"""Wan against ComfyUI 0.3.64: every kind of model and of condition, on narrow random weights.

`wan.npz` was recorded by `comfy.sd.load_diffusion_model_state_dict` and `apply_model` at sigma 0.7,
of the same weights and inputs, which are drawn from their names; `sources` and `rope` by 0.33.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion.batch.calls import Limits
from diffusion.batch.frame import Frame
from diffusion.batch.patches import SCALE_ROPE
from diffusion.batch.prompts import Prompt, Region
from diffusion.batch.rows import Row
from diffusion.guidance.model_changes import own_sampling
from graph.values import Change, ClipVisionOutput, Condition
from tests.diffusion.model_files import CPU, recorded
from tests.diffusion.wan_files import SHAPES, loaded, plain, tensors_of

ANSWERS = recorded("wan")
SIDES = (3, 4, 6)
SIGMA = 0.7
REGION = Region(None, None, 1.0, 1.0, 1e9, 0.0)


@dataclass(frozen=True)
class Case:
    """What a model is asked with. Tensors are drawn; those in `masks` are cut to 0 and 1."""

    model: str
    extras: Mapping[str, Any] = field(default_factory=dict)
    masks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sides: tuple[int, ...] = SIDES
    batch: int = 1
    seen: int = 0  # states of an image encoder
    noise_mask: str = ""
    rope: Mapping[str, float] = field(default_factory=dict)


def video(channels: int, frames: int = 3) -> tuple[int, ...]:
    return (1, channels, frames, 4, 6)


CASES = {
    "t2v": Case("t2v"),
    "odd": Case("t2v", sides=(2, 5, 3), batch=2),
    "subjects": Case("t2v", {"time_dim_concat": video(16, 2)}),
    "sources": Case("t2v", {"context_latents": [video(16, 2), (1, 16, 1, 5, 4)]}),
    "rope": Case(
        "t2v",
        rope={
            "scale_x": 1.5,
            "shift_x": 2.0,
            "scale_y": 0.5,
            "shift_y": -1.0,
            "scale_t": 7.0,
            "shift_t": 3.0,
        },
    ),
    "seen": Case("i2v", {"concat_latent_image": video(16)}, {"concat_mask": video(1)}, seen=4),
    "unseen": Case("i2v", {"concat_latent_image": video(16)}, {"concat_mask": video(1)}),
    "nothing": Case("i2v"),
    "inpaint": Case("i2v22", {"concat_latent_image": video(16)}, noise_mask="drawn"),
    "both_ends": Case(
        "flf2v", {"concat_latent_image": video(16)}, {"concat_mask": video(4)}, seen=8
    ),
    "no_mask": Case("i2v22", {"concat_latent_image": (1, 16, 3, 8, 12)}),
    "control": Case("fun", {"concat_latent_image": video(32)}, seen=4),
    "control22": Case(
        "fun22",
        {
            "concat_latent_image": video(32),
            "concat_mask_index": 16,
            "reference_latents": [video(16, 1)],
        },
        {"concat_mask": video(4)},
    ),
    "known": Case("ti2v", noise_mask="first", batch=2),
    "vace": Case(
        "vace",
        {"vace_frames": [video(32), video(32)], "vace_strength": [1.0, 0.5]},
        {"vace_mask0": video(64), "vace_mask1": video(64)},
    ),
    "vace_nothing": Case("vace"),
    "camera": Case(
        "camera",
        {"concat_latent_image": video(16), "camera_conditions": (1, 24, 3, 32, 48)},
        seen=4,
    ),
}


def drawn(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [drawn(f"{name}{i}", own) for i, own in enumerate(value)]
    return plain(name, value) if isinstance(value, tuple) else value


def extras_of(name: str, case: Case) -> dict[str, Any]:
    extras = {key: drawn(f"{name}.{key}", value) for key, value in case.extras.items()}
    masks = {key: (plain(f"{name}.{key}", s) > 0).float() for key, s in case.masks.items()}
    controls = [mask for key, mask in masks.items() if key.startswith("vace_mask")]
    extras |= {"vace_mask": controls} if controls else masks
    if case.seen:
        states = plain(f"{name}.clip_vision_output", (1, case.seen, 1280))
        extras["clip_vision_output"] = ClipVisionOutput(states, states, states)
    return extras


def noise_mask(name: str, case: Case, shape: torch.Size) -> Tensor | None:
    if not case.noise_mask:
        return None
    if case.noise_mask == "drawn":
        return (plain(f"{name}.mask", video(1)) > 0).float().expand(shape)
    mask = torch.ones(video(1))
    mask[:, :, :1] = 0
    mask[:, :, 1, :2] = 0.5
    return mask.expand(shape)


@pytest.mark.parametrize("name", CASES)
def test_it_answers_as_comfyui_does(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = loaded(tmp_path, tensors_of(SHAPES[case.model]))
    assert model.shape == SHAPES[case.model]
    x = plain(f"{name}.x", (case.batch, model.latent_format.channels, *case.sides))
    sampling = own_sampling(model.parameterization)
    frame = Frame(x, noise_mask(name, case, x.shape), sampling, model.latent_format)
    condition = Condition(plain(f"{name}.tokens", (1, 5, 4096)), extras=extras_of(name, case))
    embedding = model.family.embed(model, condition, "positive", frame)
    denoiser = model.family.denoiser(model, Limits(8, 2**30, torch.float32, CPU))
    prompt = Prompt(REGION, embedding, x.shape)
    moved = (Change(SCALE_ROPE, tuple(case.rope.items())),) if case.rope else ()
    row = Row(x, torch.tensor(SIGMA), prompt, sampling, patches=moved)
    (answer,) = denoiser([row])
    torch.testing.assert_close(answer, ANSWERS[name], rtol=0, atol=2e-5)
