"""Canny edges of a picture at many scales, laid over each other (the pack's PyraCannyDetector)."""

from functools import partial

import cv2
import numpy as np
from torch import Tensor

from preprocessors.pictures import Picture, at_resolution

SCALES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHARE = 0.25  # of each finer scale in what the coarser ones have left
DARKEST, BRIGHTEST = 1, 99  # percentiles that become black and white


def pyramid_canny(
    image: Tensor, low_threshold: int, high_threshold: int, resolution_px: int
) -> Tensor:
    """Edges, the brighter at the more scales they are seen."""
    draw = partial(_draw, low_threshold=low_threshold, high_threshold=high_threshold)
    return at_resolution(image, resolution_px, draw)


def _draw(picture: Picture, *, low_threshold: int, high_threshold: int) -> Picture:
    height, width = picture.shape[:2]
    seen = None
    for scale in SCALES:
        size = int(width * scale), int(height * scale)
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        edges = _edges(small, low_threshold, high_threshold)
        if seen is None:
            seen = edges
        else:
            before = cv2.resize(seen, size, interpolation=cv2.INTER_LINEAR)
            seen = before * (1 - SHARE) + edges * SHARE
    assert seen is not None
    return _stretched(seen.sum(axis=2))


def _edges(picture: Picture, low_threshold: int, high_threshold: int) -> Picture:
    """Edges of each colour, [H, W, 3] of 0 and 1."""
    colors = (np.ascontiguousarray(picture[..., color]) for color in range(3))
    edges = [cv2.Canny(color, low_threshold, high_threshold) for color in colors]
    return np.stack(edges, axis=2).astype(np.float32) / 255


def _stretched(x: Picture) -> Picture:
    """`x` as bytes, black at its lower percentile and white at its upper."""
    low, high = np.percentile(x, DARKEST), np.percentile(x, BRIGHTEST)
    if low == high:  # next to nothing is edge, and all of that is white
        return np.where(x > high, 255, 0).astype(np.uint8)
    stretched = (x - np.float32(low)) / np.float32(high - low) * 255
    return np.asarray(stretched.clip(0, 255), dtype=np.uint8)
