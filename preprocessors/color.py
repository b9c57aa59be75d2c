"""A coarse grid of a picture's colours, for T2I-Adapters (the pack's ColorDetector)."""

import cv2
from torch import Tensor

from imaging.sizes import check_size
from preprocessors.pictures import Picture, each_picture

CELL = 64  # pixels


def color_palette(image: Tensor, resolution_px: int) -> Tensor:
    """Squares of one colour each, of pictures with `resolution_px` on their shorter side."""
    height, width = image.shape[1:3]
    factor = resolution_px / min(height, width)
    size = round(width * factor), round(height * factor)
    check_size(len(image), *size, 3)

    def draw(picture: Picture) -> Picture:
        resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        cells = size[0] // CELL, size[1] // CELL
        grid = cv2.resize(resized, cells, interpolation=cv2.INTER_CUBIC)
        return cv2.resize(grid, size, interpolation=cv2.INTER_NEAREST)

    return each_picture(image, draw)
