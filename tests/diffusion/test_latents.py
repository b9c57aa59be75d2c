"""Operations on latents, against ComfyUI's numbers and on whose noise and mask each picture has.

tests/contract/latents.npz holds random inputs and, under the names of the cases here, what the node
of that name of ComfyUI 0.3.64 gave for the same arguments (torch 2.13 on a CPU).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion.latent.batches import (
    batch_latents,
    latent_from_batch,
    rebatch_latents,
    repeat_latent,
    set_seed_behavior,
)
from diffusion.latent.latents import (
    add_latents,
    blend_latents,
    composite_latents,
    composite_latents_masked,
    concat_latents,
    crop_latent,
    cut_latent,
    empty_latent,
    flip_latent,
    interpolate_latents,
    multiply_latent,
    rotate_latent,
    set_noise_mask,
    subtract_latents,
    upscale_latent,
    upscale_latent_by,
)
from diffusion.latent.operations import apply_latent_operation
from graph.values import Change, Latent
from imaging.sizes import ImageTooLargeError

Latents: TypeAlias = Mapping[str, Latent]
RECORDED = Path(__file__).parents[1] / "contract" / "latents.npz"
TONEMAP = Change("tonemap_reinhard", (("multiplier", 1.3),))
SHARPEN = Change("sharpen", (("alpha", 0.1), ("radius", 3), ("sigma", 1.0)))


def _both(x: Latents, first: str, second: str) -> Latent:
    return Latent(torch.cat([x[first].samples, x[second].samples]))


CASES: dict[str, Callable[[Latents], Latent]] = {
    "LatentAdd": lambda x: add_latents(x["a"], x["one"]),
    "LatentSubtract": lambda x: subtract_latents(x["a"], x["b"]),
    "LatentMultiply": lambda x: multiply_latent(x["a"], -1.5),
    "LatentInterpolate": lambda x: interpolate_latents(x["one"], x["a"], 0.3),
    "LatentInterpolate four": lambda x: interpolate_latents(
        _both(x, "a", "b"), _both(x, "b", "a"), 0.7
    ),
    "LatentBlend": lambda x: blend_latents(x["a"], x["one"], 0.3),
    "LatentConcat": lambda x: concat_latents(x["a"], x["b"], "-y"),
    "LatentCut": lambda x: cut_latent(x["a"], "x", -4, 3),
    "LatentBatch": lambda x: batch_latents(x["a"], x["one"]),
    "LatentUpscale": lambda x: upscale_latent(x["a"], 96, 0, "bislerp", "disabled"),
    "LatentUpscaleBy": lambda x: upscale_latent_by(x["a"], 1.5, "bicubic"),
    "LatentCrop": lambda x: crop_latent(x["a"], 64, 512, 16, 24),
    "LatentRotate": lambda x: rotate_latent(x["a"], "90 degrees"),
    "LatentFlip": lambda x: flip_latent(x["a"], "x-axis: vertically"),
    "LatentComposite": lambda x: composite_latents(x["a"], x["one"], (16, 0), 24),
    "LatentComposite far": lambda x: composite_latents(x["a"], x["one"], (16, 8), 160),
    "LatentCompositeMasked": lambda x: composite_latents_masked(
        x["a"], x["one"], (16, 8), x["mask"].samples[:, 0], resize_source=False
    ),
    "LatentOperationTonemapReinhard": lambda x: apply_latent_operation(x["a"], TONEMAP),
    "LatentOperationSharpen": lambda x: apply_latent_operation(x["a"], SHARPEN),
}


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, Tensor]:
    with np.load(RECORDED) as numbers:
        return {name: torch.from_numpy(numbers[name]) for name in numbers}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_comfyui(name: str, recorded: Mapping[str, Tensor]) -> None:
    inputs = {key: Latent(value.clone()) for key, value in recorded.items() if "/" not in key}
    difference = CASES[name](inputs).samples - recorded[f"{name}/0"]
    assert difference.abs().max() <= 2e-6
    assert all(torch.equal(inputs[key].samples, recorded[key]) for key in inputs)


def latents(*shape: int, batch_index: tuple[int, ...] | None = None, masks: int = 0) -> Latent:
    mask = torch.rand(masks, 1, 16, 16) if masks else None
    return Latent(torch.rand(*shape), mask, batch_index)


def test_a_part_of_a_batch_keeps_its_noise_and_its_masks() -> None:
    batch = latents(4, 4, 2, 2, masks=2)
    part = latent_from_batch(batch, 1, 2)
    assert part.batch_index == (1, 2)
    assert part.noise_mask is not None
    assert batch.noise_mask is not None
    assert torch.equal(part.noise_mask, batch.noise_mask[[1, 0]])


def test_a_part_beyond_the_batch_is_its_last_picture() -> None:
    batch = latents(3, 4, 2, 2, batch_index=(7, 5, 9))
    part = latent_from_batch(batch, 8, 8)
    assert part.batch_index == (9,)
    assert torch.equal(part.samples, batch.samples[2:])


def test_repeats_of_numbered_pictures_count_on() -> None:
    assert repeat_latent(latents(2, 4, 2, 2, batch_index=(4, 6)), 2).batch_index == (4, 6, 7, 9)
    assert repeat_latent(latents(2, 4, 2, 2), 2).batch_index is None


def test_joined_batches_keep_their_own_noise() -> None:
    joined = batch_latents(latents(2, 4, 2, 2), latents(2, 4, 2, 2, batch_index=(8, 3)))
    assert joined.batch_index == (0, 1, 8, 3)


def test_a_fixed_seed_gives_all_pictures_the_noise_of_the_first() -> None:
    batch = latents(3, 4, 2, 2, batch_index=(5, 6, 7))
    assert set_seed_behavior(batch, "fixed").batch_index == (5, 5, 5)
    assert set_seed_behavior(batch, "random").batch_index is None


def test_rebatching_counts_pictures_and_parts_sizes() -> None:
    pieces = rebatch_latents([latents(3, 4, 2, 2), latents(2, 4, 2, 2), latents(1, 4, 3, 3)], 2)
    assert [piece.batch_index for piece in pieces] == [(0, 1), (2, 3), (4,), (5,)]
    assert all(piece.noise_mask is None for piece in pieces)


def test_rebatching_keeps_masks_that_leave_something_out() -> None:
    pieces = rebatch_latents([latents(1, 4, 2, 2, masks=1), latents(1, 4, 2, 2)], 1)
    assert [piece.noise_mask is None for piece in pieces] == [False, True]


def test_a_noise_mask_has_one_channel() -> None:
    mask = set_noise_mask(latents(1, 4, 2, 2), torch.ones(16, 16)).noise_mask
    assert mask is not None
    assert mask.shape == (1, 1, 16, 16)


def test_a_latent_scaled_to_nothing_stays_as_it_is() -> None:
    latent = latents(1, 4, 2, 2)
    assert upscale_latent(latent, 0, 0, "bislerp", "center") is latent


def test_empty_latents_beyond_memory_are_refused() -> None:
    with pytest.raises(ImageTooLargeError):
        empty_latent((4096, 4, 2048, 2048))
