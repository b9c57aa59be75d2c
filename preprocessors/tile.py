"""Pictures without their detail, for tile ControlNets (the pack's TileDetector and TTPlanet's)."""

import cv2
from torch import Tensor

from imaging.sizes import EmptyImageError
from preprocessors.pictures import MULTIPLE, Picture, each_picture


def tile(image: Tensor, halvings: int) -> Tensor:
    """Pictures made 2 ** `halvings` times smaller, then larger again by a smooth pyramid.

    Raises:
        EmptyImageError: nothing would be left in between.
    """
    height, width = (round(side / MULTIPLE) * MULTIPLE for side in image.shape[1:3])
    size = width // 2**halvings, height // 2**halvings
    if min(size) < 1:
        raise EmptyImageError(*size)

    def draw(picture: Picture) -> Picture:
        drawn = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        for _ in range(halvings):
            drawn = cv2.pyrUp(drawn)
        return drawn

    return each_picture(image, draw)


def tile_simple(image: Tensor, scale_factor: float, blur_strength: float) -> Tensor:
    """Pictures made `scale_factor` times smaller and larger again, then blurred.

    Raises:
        EmptyImageError: nothing would be left in between.
    """
    height, width = image.shape[1:3]
    small = int(width / scale_factor), int(height / scale_factor)
    if min(small) < 1:
        raise EmptyImageError(*small)
    kernel = int(blur_strength) // 2 * 2 + 1

    def draw(picture: Picture) -> Picture:
        down = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        up = cv2.resize(down, (width, height), interpolation=cv2.INTER_LANCZOS4)
        return cv2.GaussianBlur(up, (kernel, kernel), sigmaX=blur_strength / 2)

    return each_picture(image, draw)
