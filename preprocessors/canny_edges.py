"""The ControlNet-aux pack's Canny edges, which are OpenCV's (canny.py has ComfyUI's own)."""

import cv2
from torch import Tensor

from preprocessors.pictures import at_resolution


def canny_edges(
    image: Tensor, low_threshold: int, high_threshold: int, resolution_px: int
) -> Tensor:
    """White edges on black; thresholds are in levels of 255 per pixel (CannyDetector)."""
    return at_resolution(
        image, resolution_px, lambda picture: cv2.Canny(picture, low_threshold, high_threshold)
    )
