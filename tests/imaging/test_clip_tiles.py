"""Pictures cut into squares for an image encoder, as IPAdapterTiled cuts them."""

import pytest
import torch

from imaging.clip_tiles import SIDE, picture_tiles


@pytest.mark.parametrize(
    ("size", "starts"),
    [
        ((300, 300), [(0, 0), (0, 256), (256, 0), (256, 256)]),  # (y, x)
        ((300, 260), [(0, 0), (0, 256), (256, 0), (256, 256)]),
        ((100, 200), [(0, 0), (0, 256)]),
        ((100, 250), [(0, 0), (0, 192), (0, 384)]),  # 256 by 640
        ((250, 100), [(0, 0), (192, 0), (384, 0)]),
        ((100, 900), [(0, 0), (0, 256), (0, 512), (0, 768)]),
    ],
)
def test_tiles_cover_a_picture_and_count_where_they_lie(
    size: tuple[int, int], starts: list[tuple[int, int]]
) -> None:
    tiles = picture_tiles(torch.rand(2, *size, 3), None, 0.0)
    assert [tile.shape for tile, _ in tiles] == [(2, SIDE, SIDE, 3)] * len(starts)
    for (_, mask), (y, x) in zip(tiles, starts, strict=True):
        assert float(mask[0, y : y + SIDE, x : x + SIDE].min()) == pytest.approx(1.0)
        assert float(mask.sum()) == pytest.approx(SIDE**2)
    assert float(torch.stack([mask for _, mask in tiles]).amax(0).min()) == pytest.approx(1.0)


def test_a_tile_shows_what_lies_there() -> None:
    image = torch.zeros(1, 512, 512, 3)
    image[:, :256, 256:] = 1.0
    shown = [round(float(tile.mean()), 1) for tile, _ in picture_tiles(image, None, 0.0)]
    assert shown == [0.0, 1.0, 0.0, 0.0]


def test_a_tile_counts_only_where_the_mask_does() -> None:
    mask = torch.zeros(1, 50, 50)
    mask[:, :, :25] = 1.0
    tiles = picture_tiles(torch.rand(1, 512, 512, 3), mask, 0.0)
    counts = [float(own.mean()) for _, own in tiles]
    assert counts == pytest.approx([0.25, 0.0, 0.25, 0.0], abs=0.01)


def test_sharpening_keeps_sizes_and_changes_pictures() -> None:
    image = torch.rand(1, 100, 200, 3)
    plain, sharp = picture_tiles(image, None, 0.0), picture_tiles(image, None, 1.0)
    assert plain[0][0].shape == sharp[0][0].shape
    assert not torch.equal(plain[0][0], sharp[0][0])
