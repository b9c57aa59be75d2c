"""Content, moved about by a smooth random flow (the pack's ContentShuffleDetector)."""

import cv2
import numpy as np
from torch import Tensor

from preprocessors.pictures import Picture, at_resolution

COARSENESS = 256  # pixels between the points that are drawn at random


def shuffle_content(image: Tensor, resolution_px: int, seed: int) -> Tensor:
    """Pictures whose pixels are taken from elsewhere in them, neighbours from near each other.

    Every picture of a batch is moved alike. The pack takes seed 0 to mean another flow each time;
    here it is a seed like the others.
    """

    def draw(picture: Picture) -> Picture:
        rng = np.random.default_rng(seed)
        height, width = picture.shape[:2]
        x = smooth_noise(rng, height, width) * (width - 1)
        y = smooth_noise(rng, height, width) * (height - 1)
        flow = np.stack([x, y], axis=2).astype(np.float32)
        moved: Picture = cv2.remap(picture, flow, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
        return moved

    return at_resolution(image, resolution_px, draw)


def smooth_noise(rng: np.random.Generator, height: int, width: int) -> Picture:
    """[height, width] from 0 to 1, both reached."""
    far = COARSENESS
    points = rng.uniform(size=(height // far + 2, width // far + 2, 1))
    smooth = cv2.resize(points, (width + 2 * far, height + 2 * far), interpolation=cv2.INTER_CUBIC)
    middle = smooth[far : far + height, far : far + width]
    risen = middle - middle.min()
    return np.asarray(risen / risen.max())
