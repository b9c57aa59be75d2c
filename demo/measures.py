"""What adapters are measured by: edges that agree, darkness, strokes."""

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.drawing import Picture

Edges = NDArray[np.bool_]
LOW, HIGH = 40, 120  # of cv2.Canny, on grey in 0..255


def edges(picture: Picture) -> Edges:
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (5, 5), 1.0)
    return cv2.Canny(grey, LOW, HIGH) > 0


def edge_agreement(found: Edges, given: Edges, within_px: int = 2) -> float:
    """F1 of edges, where one that is at most `within_px` away from another counts as the same."""
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * within_px + 1,) * 2)

    def share(these: Edges, those: Edges) -> float:
        near = cv2.dilate(those.astype(np.uint8), around) > 0
        return float((these & near).sum() / max(these.sum(), 1))

    precision, recall = share(found, given), share(given, found)
    return 2 * precision * recall / max(precision + recall, 1e-9)


def darkness(picture: Picture) -> float:
    """0 for white, 1 for black: the statistic of the style "night"."""
    return float(1 - cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).mean() / 255)


def strokes(picture: Picture) -> float:
    """The mean step from one pixel to the next across strokes: the statistic of "crayon"."""
    steps = np.abs(np.diff(picture.astype(np.float32), axis=0))
    return float(np.minimum(steps, 40).mean())
