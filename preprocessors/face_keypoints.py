"""The five points of a face, drawn as InstantID's ControlNet reads them."""

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graph.faces import Faces
from imaging.face_alignment import Picture, Points

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
NOSE, LIMBS = 2, (0, 1, 3, 4)  # from the nose to eyes and corners of the mouth
STICK_PX, DOT_PX, DIM = 4, 10, 0.6


def face_keypoints(image: Tensor, faces: Faces, otherwise: Tensor | None) -> Tensor:
    """Points of the face of each picture, on black; pictures without one are left out.

    Where no picture has one, it is `otherwise`, or black.
    """
    height, width = image.shape[1:3]
    found = [torch.as_tensor(face.points).numpy() for face in faces.each if face is not None]
    if not found:
        return torch.zeros_like(image[..., :3]) if otherwise is None else otherwise
    drawn = np.stack([drawn_points(points, height, width) for points in found])
    return torch.from_numpy(drawn).float() / 255


def drawn_points(points: Points, height: int, width: int) -> Picture:
    """Sticks from the nose, dimmed, and a dot on every point."""
    far = 10 * max(height, width)
    points = points.clip(-far, far)
    canvas: NDArray[Any] = np.zeros((height, width, 3))
    for limb in LIMBS:
        ends = points[[limb, NOSE]]
        (x0, y0), (x1, y1) = ends.tolist()
        length = math.hypot(x0 - x1, y0 - y1)
        angle = math.degrees(math.atan2(y0 - y1, x0 - x1))
        middle = int(ends[:, 0].mean()), int(ends[:, 1].mean())
        stick = cv2.ellipse2Poly(middle, (int(length / 2), STICK_PX), int(angle), 0, 360, 1)
        cv2.fillConvexPoly(canvas, np.array(stick), COLORS[limb])
    levels = np.ascontiguousarray((canvas * DIM).astype(np.uint8))
    for (x, y), color in zip(points.tolist(), COLORS, strict=True):
        cv2.circle(levels, (int(x), int(y)), DOT_PX, color, -1)
    return levels
