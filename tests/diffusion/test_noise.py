"""The noise of a request: ComfyUI's, and nobody else's business."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from diffusion.latent.noise import NoiseSource, prepare_noise
from tests.recorded_sigmas import recorded

RECORDED = recorded()
SIGMAS = torch.tensor([14.614642, 7.0, 3.0, 1.0, 0.029167, 0.0])
SOURCE = NoiseSource(seed=7, shape=(4, 3, 2, 2))


def streams(source: NoiseSource) -> dict[str, Tensor]:
    """Some draws of every kind."""
    step, path, later = source.ancestral(), source.brownian(SIGMAS), source.continued()
    return {
        "initial": source.initial(),
        "inpaint": source.inpaint(),
        "ancestral": torch.stack([step(), step()]),
        "brownian": torch.stack([path(a, b) for a, b in ((SIGMAS[0], SIGMAS[1]), SIGMAS[1:3])]),
        "continued": torch.stack(
            [later(torch.zeros(1, 3, 2, 2)), later(torch.zeros(1, 3, 5, 2))[..., :2, :]]
        ),
    }


def test_the_noise_of_a_seed_is_comfyui_s_to_the_bit() -> None:
    assert torch.equal(prepare_noise((3, 2, 2, 2), 2**64 - 5).double(), RECORDED["noise/plain"])


def test_a_picture_keeps_the_noise_of_its_place_in_the_batch() -> None:
    noise = prepare_noise((3, 2, 2, 2), 77, (4, 1, 4))
    assert torch.equal(noise.double(), RECORDED["noise/inds"])


@pytest.mark.parametrize("kind", ["initial", "inpaint", "ancestral", "brownian", "continued"])
def test_a_part_of_a_batch_draws_the_noise_it_had_in_the_whole(kind: str) -> None:
    whole, part = streams(SOURCE)[kind], streams(replace(SOURCE, rows=slice(1, 3)))[kind]
    batch = 0 if kind in ("initial", "inpaint") else 1
    assert torch.equal(part, whole.narrow(batch, 1, 2))


def test_noise_neither_moves_nor_reads_the_global_generator() -> None:
    torch.manual_seed(1)
    before, first = torch.get_rng_state(), streams(SOURCE)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = streams(SOURCE)
    assert all(torch.equal(first[kind], second[kind]) for kind in first)


def test_two_streams_of_one_source_do_not_disturb_each_other() -> None:
    alone = SOURCE.ancestral()
    expected = [alone(), alone()]
    one, other = SOURCE.ancestral(), SOURCE.ancestral()
    drawn = [one(), other(), one(), other()]
    assert all(torch.equal(drawn[2 * k + j], expected[k]) for k in range(2) for j in range(2))


def test_a_brownian_path_is_one_path_however_it_is_walked() -> None:
    path, again = SOURCE.brownian(SIGMAS), SOURCE.brownian(SIGMAS)
    again(SIGMAS[2], SIGMAS[3])
    long = path(SIGMAS[0], SIGMAS[2]) * (SIGMAS[0] - SIGMAS[2]).sqrt()
    first = again(SIGMAS[0], SIGMAS[1]) * (SIGMAS[0] - SIGMAS[1]).sqrt()
    second = again(SIGMAS[1], SIGMAS[2]) * (SIGMAS[1] - SIGMAS[2]).sqrt()
    torch.testing.assert_close(first + second, long)


def test_brownian_increments_have_unit_variance() -> None:
    path = NoiseSource(seed=3, shape=(1, 4, 64, 64)).brownian(SIGMAS)
    assert path(SIGMAS[0], SIGMAS[1]).std().item() == pytest.approx(1.0, abs=0.03)


def test_a_schedule_of_nothing_has_a_path_that_nobody_walks() -> None:
    SOURCE.brownian(torch.zeros(1))
    SOURCE.brownian(torch.zeros(0))


def test_the_highest_seed_has_a_successor() -> None:
    assert torch.equal(
        NoiseSource(2**64 - 1, (1, 1, 2, 2)).inpaint(), NoiseSource(0, (1, 1, 2, 2)).initial()
    )
