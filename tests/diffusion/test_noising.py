"""Noise added without sampling, against ComfyUI's numbers (see recorded_nodes.py)."""

import torch
from torch import Tensor

from diffusion.engine.noising import noised
from diffusion.families.sd.family import SD15_LATENT
from diffusion.schedules.model_sampling import discrete
from graph.sampling import Noise
from graph.values import Latent
from tests.recorded_nodes import recorded


def added(latent: Latent, noise: Noise, sigmas: Tensor) -> Tensor:
    samples: Tensor = noised(latent, noise, sigmas, discrete(), SD15_LATENT).samples
    return samples


def test_noise_is_added_for_the_whole_way() -> None:
    noisy = added(Latent(recorded("small")), Noise(77), recorded("sigmas"))
    torch.testing.assert_close(noisy, recorded("noised"))


def test_one_sigma_is_a_way_to_nothing() -> None:
    latent = Latent(recorded("small"), batch_index=(3, 1))
    noisy = added(latent, Noise(77), recorded("sigmas")[:1])
    torch.testing.assert_close(noisy, recorded("noised_one"))


def test_no_noise_leaves_the_latent_to_the_model() -> None:
    noisy = added(Latent(recorded("small")), Noise(None), recorded("sigmas"))
    torch.testing.assert_close(noisy, recorded("noised_nothing"))


def test_without_sigmas_nothing_happens() -> None:
    latent = Latent(recorded("small"))
    assert noised(latent, Noise(1), torch.zeros(0), discrete(), SD15_LATENT) is latent
