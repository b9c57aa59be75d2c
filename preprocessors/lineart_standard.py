"""Lines as what is darker than its surroundings (the pack's LineartStandardDetector)."""

import cv2
import numpy as np
from torch import Tensor

from preprocessors.pictures import Picture, at_resolution

LEAST_TYPICAL = 16.0  # levels; so that faint noise does not become lines


def standard_lineart(
    image: Tensor, sigma_px: float, threshold: float, resolution_px: int
) -> Tensor:
    """Light lines on black, at half of full white where they are as dark as a typical one.

    Typical is the median of what is darker than its surroundings by more than `threshold` levels.
    """

    def draw(picture: Picture) -> Picture:
        x = picture.astype(np.float32)
        around = cv2.GaussianBlur(x, (0, 0), sigma_px) if sigma_px > 0 else x
        depth = (around - x).min(axis=2).clip(0, 255)
        lines = depth[depth > threshold]
        typical = max(LEAST_TYPICAL, float(np.median(lines))) if lines.size else LEAST_TYPICAL
        bright = depth / np.float32(typical) * 127
        return np.asarray(bright.clip(0, 255), dtype=np.uint8)

    return at_resolution(image, resolution_px, draw)
