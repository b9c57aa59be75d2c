"""Pictures and masks for inpainting, against ComfyUI's numbers (see recorded_nodes.py)."""

import pytest
import torch

from diffusion.autoencoder.inpaint import fit_mask, grey_out, grow_noise_mask
from imaging.sizes import BatchMismatchError
from tests.recorded_nodes import recorded


def test_the_masked_part_is_grey() -> None:
    pixels = recorded("pixels")
    blank = grey_out(pixels, fit_mask(pixels, recorded("mask")))
    torch.testing.assert_close(blank, recorded("inpaint_pixels"))
    torch.testing.assert_close(blank, recorded("model_pixels"))


def test_an_inpainting_model_gets_a_soft_mask() -> None:
    fitted = fit_mask(recorded("pixels"), recorded("mask"))
    torch.testing.assert_close(fitted, recorded("model_mask"))


@pytest.mark.parametrize("grow", [0, 1, 5, 6])
def test_a_noise_mask_is_hard_and_grown(
    grow: int,
) -> None:
    fitted = fit_mask(recorded("pixels"), recorded("mask"))
    assert torch.equal(grow_noise_mask(fitted, grow), recorded(f"inpaint_mask_{grow}"))


def test_masks_that_fit_no_picture_are_refused() -> None:
    pixels = torch.zeros(3, 16, 16, 3)
    with pytest.raises(BatchMismatchError):
        grey_out(pixels, fit_mask(pixels, torch.zeros(2, 16, 16)))
