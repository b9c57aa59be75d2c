"""Two levels of brightness (the pack's BinaryDetector)."""

import cv2
from torch import Tensor

from preprocessors.pictures import Picture, at_resolution

BY_THE_PICTURE = (0, 255)  # thresholds that leave the choice to Otsu's method


def binary_lines(image: Tensor, threshold: int, resolution_px: int) -> Tensor:
    """White where a picture is brighter than `threshold`, black elsewhere."""
    kind = cv2.THRESH_BINARY + (cv2.THRESH_OTSU if threshold in BY_THE_PICTURE else 0)

    def draw(picture: Picture) -> Picture:
        return cv2.threshold(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), threshold, 255, kind)[1]

    return at_resolution(image, resolution_px, draw)
