"""Pictures without their colours, for recolouring (the pack's Recolorizer)."""

import cv2
import numpy as np
from torch import Tensor

from preprocessors.pictures import Picture, at_resolution


def luminance(image: Tensor, gamma: float, resolution_px: int) -> Tensor:
    """Grey by CIELAB's lightness, to the power of `gamma`."""
    return _grey(image, gamma, resolution_px, (cv2.COLOR_BGR2LAB, 0))


def intensity(image: Tensor, gamma: float, resolution_px: int) -> Tensor:
    """Grey by the brightest colour, to the power of `gamma`."""
    return _grey(image, gamma, resolution_px, (cv2.COLOR_BGR2HSV, 2))


def _grey(image: Tensor, gamma: float, resolution_px: int, plane: tuple[int, int]) -> Tensor:
    conversion, index = plane

    def draw(picture: Picture) -> Picture:
        # Red and blue change places: the pack does so, and models have learnt from it.
        converted = cv2.cvtColor(picture, conversion)[..., index]
        grey = (converted.astype(np.float32) / 255) ** gamma * 255
        return grey.clip(0, 255).astype(np.uint8)

    return at_resolution(image, resolution_px, draw)
