"""Edges as networks see them: from a network's maps to pictures, thinned or in steps."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from preprocessors.detectors import device_of
from preprocessors.pictures import Picture

LINES = [  # three pixels of a line, in each direction
    np.array(line, dtype=np.uint8)
    for line in (
        [[0, 0, 0], [1, 1, 1], [0, 0, 0]],
        [[0, 1, 0], [0, 1, 0], [0, 1, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    )
]
SCRIBBLE_WIDTH = 3.0  # pixels, a Gaussian's sigma
SCRIBBLE_LEVEL, FAINT = 127, 4  # levels of 255


def as_batch(picture: Picture, network: nn.Module) -> Tensor:
    """[1, C, H, W] of a picture [H, W, C], in levels of 255, where the network is."""
    x = torch.from_numpy(np.ascontiguousarray(picture)).to(device_of(network))
    return x.float().movedim(-1, 0)[None]


def as_levels(x: Picture) -> Picture:
    """0..1 as bytes, cut off like a cast."""
    return np.asarray((x * 255.0).clip(0, 255), dtype=np.uint8)


def fused(maps: Sequence[Tensor], height: int, width: int) -> Picture:
    """Edge maps [1, 1, h, w] of several scales as one [height, width] in 0..1, their mean's
    sigmoid."""
    resized = [
        cv2.resize(x[0, 0].float().cpu().numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
        for x in maps
    ]
    mean = np.mean(np.stack(resized, axis=2), axis=2).astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-mean)))


def in_steps(x: Picture, steps: int = 2) -> Picture:
    """0..1 in `steps` + 1 levels ("safe": nothing can be hidden in faint grey)."""
    levels = (x.astype(np.float32) * float(steps + 1)).astype(np.int32)
    return np.asarray(levels.astype(np.float32) / float(steps))


def scribbled(edges: Picture) -> Picture:
    """Soft edges as strokes of one width, white on black."""
    blurred = cv2.GaussianBlur(edges.astype(np.float32), (0, 0), SCRIBBLE_WIDTH)
    ridge = np.zeros_like(blurred)
    for line in LINES:
        np.putmask(ridge, cv2.dilate(blurred, kernel=line) == blurred, blurred)
    thin = np.where(ridge > SCRIBBLE_LEVEL, 255, 0).astype(np.uint8)
    strokes = cv2.GaussianBlur(thin, (0, 0), SCRIBBLE_WIDTH)
    return np.where(strokes > FAINT, 255, 0).astype(np.uint8)
