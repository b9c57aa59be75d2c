"""Scribbles by thresholds (the pack's ScribbleDetector and ScribbleXDog_Detector)."""

import cv2
import numpy as np
from torch import Tensor

from preprocessors.pictures import Picture, at_resolution

DARK = 127
FINE_SIGMA, COARSE_SIGMA = 0.5, 5.0  # pixels


def scribble(image: Tensor, resolution_px: int) -> Tensor:
    """Black where any colour is dark, white elsewhere."""

    def draw(picture: Picture) -> Picture:
        return np.where(picture.min(axis=2) < DARK, 0, 255).astype(np.uint8)

    return at_resolution(image, resolution_px, draw, enlarge=cv2.INTER_AREA)


def scribble_xdog(image: Tensor, threshold: int, resolution_px: int) -> Tensor:
    """White where a picture is darker than its surroundings, by a difference of Gaussians."""

    def draw(picture: Picture) -> Picture:
        x = picture.astype(np.float32)
        fine = cv2.GaussianBlur(x, (0, 0), FINE_SIGMA)
        coarse = cv2.GaussianBlur(x, (0, 0), COARSE_SIGMA)
        depth = 255 - (255 - (coarse - fine).min(axis=2)).clip(0, 255).astype(np.uint8)
        # In bytes, as the original has it: twice a depth of 128 and more starts from 0 again.
        return np.where(2 * depth > threshold, 255, 0).astype(np.uint8)

    return at_resolution(image, resolution_px, draw)
