"""Pictures made ready for an image encoder."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imaging.clip_pictures import SIDE, contrast_sharpened, cropped, padded, prepare_for_clip

WIDE = torch.rand(2, 40, 60, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("position", "part"),
    [
        ("left", WIDE[:, :, :40]),
        ("right", WIDE[:, :, 20:]),
        ("center", WIDE[:, :, 10:50]),
        ("top", WIDE[:, :, 10:50]),
    ],
)
def test_the_part_that_matters_is_cut_out(position: Any, part: torch.Tensor) -> None:
    assert torch.equal(cropped(WIDE, position), part)


@pytest.mark.parametrize(("position", "rows"), [("top", slice(40)), ("bottom", slice(20, None))])
def test_a_tall_picture_is_cut_at_its_ends(position: Any, rows: slice) -> None:
    tall = WIDE.transpose(1, 2)
    assert torch.equal(cropped(tall, position), tall[:, rows])


def test_a_padded_picture_is_whole() -> None:
    square = padded(WIDE)
    assert square.shape == (2, 60, 60, 3)
    assert torch.equal(square[:, 10:50], WIDE)
    assert float(square[:, :10].abs().max()) == 0


def test_a_picture_is_scaled_by_pillow() -> None:
    found = prepare_for_clip(WIDE, "LANCZOS", "left", 0.0)
    pixels = (WIDE[0, :, :40].numpy() * 255).astype(np.uint8)
    expected = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    assert np.array_equal((found[0] * 255).round().numpy().astype(np.uint8), np.asarray(expected))


def test_sharpening_is_the_formula() -> None:
    image = WIDE[:1, :5, :6]
    found = contrast_sharpened(image, 0.5)
    y, x, c = 2, 3, 1
    grid = image[0, y - 1 : y + 2, x - 1 : x + 2, c]
    cross = torch.tensor([grid[0, 1], grid[1, 0], grid[1, 1], grid[1, 2], grid[2, 1]])
    corners = grid[::2, ::2]
    least, most = cross.min() + corners.min(), cross.max() + corners.max()
    weight = -((min(least, 2 - most) / most) ** 0.5) * (0.5 * 0.075 + 0.125)
    around = cross.sum() - grid[1, 1]
    expected = ((around * weight + grid[1, 1]) / (1 + 4 * weight)).clamp(0, 1)
    torch.testing.assert_close(found[0, y, x, c], expected)
    assert torch.allclose(
        contrast_sharpened(torch.ones(1, 9, 9, 3), 1.0)[:, 2:-2, 2:-2], torch.ones(1)
    )
