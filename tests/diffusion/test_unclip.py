"""Prompts that speak of pictures, against diffusers' unCLIP."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor

from diffusion.families.registry import FAMILIES
from diffusion.families.sd.family import SD20
from diffusion.vision.unclip import OFFSET, Seen, unclip_conditioning, unclip_vector
from graph.values import ClipVisionOutput, Condition
from tests.diffusion.model_files import CPU, filled, recorded_shapes, written
from tests.diffusion.narrow_stage import drawn

WIDTH = 32


def by_diffusers(embeds: Tensor, amount: float, noise: Tensor) -> Tensor:
    """As StableUnCLIPImg2ImgPipeline.noise_image_embeddings, with statistics of 0 and 1."""
    scheduler: Any = DDPMScheduler(beta_schedule="squaredcos_cap_v2")  # type: ignore[no-untyped-call]
    level = torch.tensor([round(999 * amount)])
    noised = scheduler.add_noise(embeds, noise, level)
    waves = get_timestep_embedding(
        level, embedding_dim=WIDTH, flip_sin_to_cos=True, downscale_freq_shift=0
    )
    return torch.cat([noised, waves], dim=1)


def draws(seed: int, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed + OFFSET)
    return [torch.randn(1, WIDTH, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
def test_one_picture_is_made_noisy_as_by_diffusers(amount: float) -> None:
    embeds = drawn(1, 1, WIDTH)
    found = unclip_vector([Seen(embeds, 0.7, amount)], 2 * WIDTH, seed=5)
    expected = by_diffusers(embeds, amount, draws(5, 1)[0]) * 0.7
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_several_pictures_are_summed_and_made_noisy_once_more() -> None:
    one, other = drawn(1, 1, WIDTH), drawn(2, 2, WIDTH)
    said = [Seen(one, 1.0, 0.1), Seen(other, -0.5, 0.0)]
    noise, then = draws(5, 2)
    each = [
        by_diffusers(one, 0.1, noise),
        *(by_diffusers(own[None], 0.0, noise) * -0.5 for own in other),
    ]
    expected = by_diffusers(sum(each, torch.zeros(1))[:, :WIDTH], 0.05, then)
    torch.testing.assert_close(
        unclip_vector(said, 2 * WIDTH, seed=5), expected, rtol=1e-4, atol=1e-4
    )


def test_without_a_picture_nothing_is_said() -> None:
    assert torch.equal(unclip_vector([], 2 * WIDTH, seed=1), torch.zeros(1, 2 * WIDTH))


def test_a_prompt_speaks_of_pictures_after_those_it_speaks_of() -> None:
    prompt = (Condition(torch.zeros(1, 1, 4)),)
    seen = ClipVisionOutput(drawn(1, 1, WIDTH), torch.zeros(0), torch.zeros(0))
    once = unclip_conditioning(prompt, seen, strength=1.0, noise_augmentation=0.0)
    twice = unclip_conditioning(once, seen, strength=2.0, noise_augmentation=0.0)
    assert [own.strength for own in twice[0].extras["unclip_conditioning"]] == [1.0, 2.0]
    assert unclip_conditioning(once, seen, strength=0.0, noise_augmentation=0.0) is once


def test_a_checkpoint_that_goes_by_pictures_is_known_by_its_vector(tmp_path: Path) -> None:
    shapes = dict(recorded_shapes("unet_shapes")["sd20"])
    time = shapes["time_embed.2.bias"][0]
    shapes |= {
        "label_emb.0.0.weight": (time, 2048),
        "label_emb.0.0.bias": (time,),
        "label_emb.0.2.weight": (time, time),
        "label_emb.0.2.bias": (time,),
    }
    unet = FAMILIES.load(written(tmp_path, filled(shapes)), dtype=torch.float32, device=CPU)
    assert (unet.family, unet.shape.y_dim) == (SD20, 2048)
