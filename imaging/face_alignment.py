"""Faces turned upright: where their five points belong in a crop, and the way there."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Points = NDArray[np.float32]  # [5, 2]: eyes, nose, corners of the mouth; x before y
Warp = NDArray[np.float64]  # [2, 3]
Picture = NDArray[np.uint8]  # [H, W, 3]
# In a crop of 112 pixels (Deng et al. 2019, ArcFace), and in one of 512 (FFHQ's faces).
ARCFACE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float32,
)
FFHQ = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
MARGIN_128 = 8.0  # crops of 128 pixels have so much more at each side, and below


def arcface_points(side: int) -> Points:
    """Where the points belong in a crop of a multiple of 112 or of 128 pixels."""
    if side % 112 == 0:
        return np.asarray(ARCFACE * (side / 112), dtype=np.float32)
    ratio = side / 128
    return np.asarray(ARCFACE * ratio + (MARGIN_128 * ratio, 0.0), dtype=np.float32)


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> Warp:
    """The turn, scale and shift that bring `source` nearest to `target` (Umeyama 1991)."""
    source, target = source.astype(np.float64), target.astype(np.float64)
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    before, after = source - from_mean, target - to_mean
    u, spread, vt = np.linalg.svd(after.T @ before / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    turn = u @ np.diag(signs) @ vt
    variance = before.var(axis=0).sum()
    scale = (spread * signs).sum() / variance if variance > 0 else 1.0
    return np.column_stack([scale * turn, to_mean - scale * turn @ from_mean])


def warped(picture: Picture, warp: Warp, side: int) -> Picture:
    """The square of `side` pixels that a warp cuts out; black beyond the picture."""
    return np.asarray(cv2.warpAffine(picture, warp, (side, side), borderValue=0.0), dtype=np.uint8)


def face_crops(image: Tensor, points: Sequence[Tensor], side: int) -> Tensor:
    """The upright faces of pictures [B, H, W, C], one of each, as [B, side, side, 3]."""
    levels = (image[..., :3].cpu().float() * 255).clamp(0, 255).byte().numpy()
    crops = [
        upright(one, torch.as_tensor(at).numpy(), side)
        for one, at in zip(levels, points, strict=True)
    ]
    return torch.from_numpy(np.stack(crops)).float() / 255


def upright(picture: Picture, points: Points, side: int) -> Picture:
    """A face as the networks that know faces are shown it."""
    return warped(picture, similarity(points, arcface_points(side)), side)
