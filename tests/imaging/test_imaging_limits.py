"""What picture operations refuse, and what they do at the ends of their ranges."""

import pickle

import pytest
import torch

from diffusion.latent.batches import batch_latents
from diffusion.latent.latents import concat_latents
from graph.values import Latent
from imaging.colors import empty_image
from imaging.filters import ImageTooSmallError, blend_images, gaussian_blur, sharpen
from imaging.masks import (
    MissingChannelError,
    combine_masks,
    crop_mask,
    grow_mask,
    image_to_mask,
    solid_mask,
)
from imaging.morphology import morph
from imaging.resize import resize, scale_image, scale_image_by
from imaging.sizes import BatchMismatchError, EmptyImageError, ImageTooLargeError
from imaging.transform import batch_images, rebatch_images, repeat_images

PICTURE = torch.rand(1, 6, 8, 3, generator=torch.Generator().manual_seed(0))


def test_a_picture_of_both_sides_zero_stays_as_it_is() -> None:
    assert scale_image(PICTURE, 0, 0, "lanczos", "center") is PICTURE


def test_a_side_of_zero_keeps_the_proportions() -> None:
    assert scale_image(PICTURE, 0, 12, "area", "disabled").shape == (1, 12, 16, 3)


def test_frames_of_a_video_are_scaled_one_by_one() -> None:
    video = torch.rand(2, 4, 3, 6, 8)
    scaled = resize(video, 4, 3, "bilinear")
    assert torch.equal(scaled[:, :, 1], resize(video[:, :, 1], 4, 3, "bilinear"))


def test_lanczos_takes_grey_pictures() -> None:
    assert resize(PICTURE.movedim(-1, 1)[:, :1], 4, 3, "lanczos").shape == (1, 1, 3, 4)


def test_nothing_is_scaled_to_no_pixels() -> None:
    with pytest.raises(EmptyImageError):
        scale_image_by(PICTURE, 0.01, "bilinear")


def test_pictures_beyond_memory_are_refused() -> None:
    with pytest.raises(ImageTooLargeError):
        empty_image(16384, 16384, 4096, 0)
    with pytest.raises(ImageTooLargeError):
        repeat_images(PICTURE.expand(4096, -1, -1, -1), 4096)
    with pytest.raises(ImageTooLargeError):
        resize(PICTURE.movedim(-1, 1), 100_000, 100_000, "area")


@pytest.mark.parametrize("reach", [6, 31])
def test_a_filter_does_not_reach_beyond_the_picture(reach: int) -> None:
    with pytest.raises(ImageTooSmallError, match="8 × 6"):
        gaussian_blur(PICTURE, reach, 1.0)


def test_sharpening_by_nothing_changes_nothing() -> None:
    assert torch.allclose(sharpen(PICTURE, 2, 1.0, 0.0), PICTURE)


def test_a_blend_takes_one_picture_for_a_whole_batch() -> None:
    batch = PICTURE.repeat(3, 1, 1, 1)
    assert blend_images(batch, PICTURE, 1.0, "difference").max() == 0


def test_batches_of_different_lengths_do_not_blend() -> None:
    with pytest.raises(BatchMismatchError):
        blend_images(PICTURE.repeat(3, 1, 1, 1), PICTURE.repeat(2, 1, 1, 1), 0.5, "normal")


def test_pictures_without_alpha_are_opaque_beside_those_with() -> None:
    together = batch_images(PICTURE, torch.zeros(1, 6, 8, 4))
    assert together.shape == (2, 6, 8, 4)
    assert together[0, ..., 3].min() == 1


def test_no_picture_is_lost_in_rebatching() -> None:
    batches = rebatch_images([PICTURE, PICTURE.repeat(4, 1, 1, 1)], 2)
    assert [len(batch) for batch in batches] == [2, 2, 1]


def test_an_image_without_alpha_has_no_alpha_mask() -> None:
    with pytest.raises(MissingChannelError):
        image_to_mask(PICTURE, "alpha")


def test_a_mask_has_nothing_outside_itself() -> None:
    with pytest.raises(EmptyImageError):
        crop_mask(solid_mask(1.0, 8, 6), 8, 0, 4, 4)


def test_a_mask_laid_outside_changes_nothing() -> None:
    mask = solid_mask(0.5, 8, 6)
    assert torch.equal(combine_masks(mask, mask, 8, 6, "add"), mask)


def test_growing_without_end_fills_the_mask() -> None:
    mask = torch.zeros(1, 40, 50)
    mask[0, 3, 4] = 1
    assert grow_mask(mask, 16384, True).min() == 1
    assert grow_mask(mask, 16384, False).min() == 1
    assert grow_mask(mask, -1, True).max() == 0


def test_opening_removes_what_is_smaller_than_the_window() -> None:
    dot = torch.zeros(1, 9, 9, 1)
    dot[:, 4, 4] = 1
    assert morph(dot, "open", 3).max() == 0
    assert morph(dot, "top_hat", 3).sum() == 1
    assert morph(dot, "dilate", 3).sum() == 9


def test_batches_that_grow_by_doubling_are_bounded() -> None:
    pictures = torch.zeros(1).expand(40_000, 100, 100, 3)  # takes no memory
    with pytest.raises(ImageTooLargeError):
        batch_images(pictures, PICTURE)
    latent = Latent(torch.zeros(1).expand(40_000, 3, 100, 100))
    with pytest.raises(ImageTooLargeError):
        batch_latents(latent, latent)
    with pytest.raises(ImageTooLargeError):
        concat_latents(latent, latent, "x")


def test_errors_arrive_intact_from_another_process() -> None:
    for error in (
        EmptyImageError(0, 3),
        BatchMismatchError(2, 3),
        ImageTooSmallError(3, 2, 2),
        MissingChannelError("alpha", 3),
    ):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
