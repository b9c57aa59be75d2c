"""ControlNets in some latents, places and layers (Advanced-ControlNet)."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import torch

from diffusion.batch.asked import Asked
from diffusion.batch.controls import Control, steered
from diffusion.batch.parts import Part
from diffusion.batch.prompts import Embedding, Prompt, Region
from diffusion.batch.rows import Row
from diffusion.batch.slices import frame_prompt
from diffusion.control.controlled import apply_control_to_both
from diffusion.families.sd.residuals import Residuals
from graph.values import Condition, ControlNet, ControlUse, ModelFile, Steering

NET = ControlNet(ModelFile("controlnet", "canny.safetensors"))
LATENT = torch.zeros(4, 4, 8, 8)


def test_latents_without_a_keyframe_are_not_controlled() -> None:
    counts, where = steered(Steering(latents=((0, 0.5), (-1, 2.0), (9, 1.0))), LATENT, 8)
    assert counts is not None
    assert counts.flatten().tolist() == [0.5, 0, 0, 2.0]
    assert where is None


def test_a_mask_is_of_pictures_and_the_last_goes_on() -> None:
    mask = torch.stack([torch.zeros(3, 3), torch.ones(3, 3)])
    counts, where = steered(Steering(mask), LATENT, 8)
    assert counts is None
    assert where is not None
    assert where.shape == (4, 1, 64, 64)
    assert where.mean(dim=(1, 2, 3)).tolist() == [0, 1, 1, 1]


def asked(control: Control, start: int, stop: int) -> Asked:
    row = cast(Row, SimpleNamespace())
    return Asked(0, Part(row, start, stop), control, LATENT[start:stop], torch.zeros(stop - start))


def control(steering: Steering) -> Control:
    use = ControlUse(NET, torch.zeros(1, 64, 64, 3), steering=steering)
    counts, where = steered(steering, LATENT, 8)
    loaded = SimpleNamespace(pools=False)
    own = Control(use, loaded, 4, LATENT.device, 8, 1.0, 0.0)
    return replace(own, counts=counts, where=where)


def test_residuals_are_weighed_by_latent_and_softer_the_finer() -> None:
    steering = Steering(latents=((1, 1.0), (2, 0.5)), softness=0.5)
    own = Residuals((torch.ones(2, 1, 4, 4), torch.ones(2, 1, 2, 2)), torch.ones(2, 1, 2, 2))
    found = own.steered(steering, asked(control(steering), 1, 3))
    assert found.skips[0][:, 0, 0, 0].tolist() == [0.25, 0.125]
    assert found.skips[1][:, 0, 0, 0].tolist() == [0.5, 0.25]
    assert found.middle is not None
    assert found.middle[:, 0, 0, 0].tolist() == [1.0, 0.5]


def test_a_window_has_the_strengths_of_its_frames() -> None:
    own = control(Steering(latents=((1, 1.0), (3, 0.5))))
    region = Region(None, None, 1.0, 1.0, 1.0, 0.0)
    whole = Prompt(region, Embedding(torch.zeros(1, 77, 8)), LATENT.shape, (own,))
    (cut,) = frame_prompt(whole, (3, 0, 1), 4).controls
    assert cut.counts is not None
    assert cut.counts.flatten().tolist() == [0.5, 0, 1.0]
    assert cut.guides is own.guides  # one picture for all: what it says is worked out once


def test_the_negative_may_be_controlled_less() -> None:
    said = (Condition(torch.zeros(1, 77, 8)),)
    positive, negative = apply_control_to_both(
        said,
        said,
        NET,
        torch.zeros(1, 8, 8, 3),
        strength=0.8,
        start_percent=0.0,
        end_percent=1.0,
        uncond_multiplier=0.5,
    )
    assert (positive[0].controls[0].strength, negative[0].controls[0].strength) == (0.8, 0.4)
