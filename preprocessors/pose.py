"""Poses: points of bodies, hands and faces, as pictures and as OpenPose's JSON.

Joints, colours and the JSON are OpenPose's (Cao et al. 2019); sizes are those that pose ControlNets
were trained on. Points are in parts of the picture's sides, and None where they were not seen.
"""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import cv2
import numpy as np

from preprocessors.pictures import Picture

JOINTS = 18
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLORS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
FINGERS = 5
HAND_EDGES = tuple(
    edge
    for finger in range(FINGERS)
    for edge in pairwise((0, *range(4 * finger + 1, 4 * finger + 5)))
)
STICK_WIDTH, JOINT_RADIUS, FACE_RADIUS = 4, 4, 3  # pixels
LIMB_SHADE = 0.6
LARGE_PX, HUGE_PX, WIDEST = 500, 1000, 7  # how much wider sticks get for xinsir's ControlNet


@dataclass(frozen=True)
class Point:
    """Where something was seen, in parts of the picture's width and height."""

    x: float
    y: float


Points: TypeAlias = tuple[Point | None, ...]


@dataclass(frozen=True)
class Pose:
    """What was seen of one person. The body has OpenPose's 18 joints."""

    body: Points
    left_hand: Points | None = None
    right_hand: Points | None = None
    face: Points | None = None


@dataclass(frozen=True)
class Parts:
    """Which parts of people are wanted."""

    body: bool = True
    hand: bool = True
    face: bool = True


def draw_poses(
    poses: Sequence[Pose], height: int, width: int, parts: Parts, *, wide_sticks: bool = False
) -> Picture:
    """The poses on black. `wide_sticks` draws limbs for xinsir's ControlNet."""
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    for pose in poses:
        if parts.body:
            draw_body(canvas, pose.body, STICK_WIDTH * (_widening(canvas) if wide_sticks else 1))
        if parts.hand:
            draw_hand(canvas, pose.left_hand or ())
            draw_hand(canvas, pose.right_hand or ())
        if parts.face:
            draw_face(canvas, pose.face or ())
    return canvas


def _widening(canvas: Picture) -> int:
    side = max(canvas.shape[:2])
    return 1 if side < LARGE_PX else min(2 + side // HUGE_PX, WIDEST)


def draw_body(canvas: Picture, joints: Points, stick_width: int) -> None:
    """Limbs as ellipses, and joints upon them."""
    height, width = canvas.shape[:2]
    for (start, end), color in zip(LIMBS, COLORS, strict=False):
        a, b = joints[start], joints[end]
        if a is None or b is None:
            continue
        x, y = np.array([a.x, b.x]) * float(width), np.array([a.y, b.y]) * float(height)
        length = ((x[0] - x[1]) ** 2 + (y[0] - y[1]) ** 2) ** 0.5
        angle = math.degrees(math.atan2(y[0] - y[1], x[0] - x[1]))
        centre, axes = (int(x.mean()), int(y.mean())), (int(length / 2), stick_width)
        stick = np.array(cv2.ellipse2Poly(centre, axes, int(angle), 0, 360, 1))
        cv2.fillConvexPoly(canvas, stick, [int(shade * LIMB_SHADE) for shade in color])
    for joint, color in zip(joints, COLORS, strict=False):
        if joint is not None:
            at = int(joint.x * width), int(joint.y * height)
            cv2.circle(canvas, at, JOINT_RADIUS, color, thickness=-1)


def draw_hand(canvas: Picture, points: Points) -> None:
    """The bones of a hand in the colours of the rainbow, and blue joints."""
    seen = [_pixel(canvas, point) for point in points]
    for index, (start, end) in enumerate(HAND_EDGES if points else ()):
        a, b = seen[start], seen[end]
        if a and b:
            rainbow = colorsys.hsv_to_rgb(index / len(HAND_EDGES), 1.0, 1.0)
            cv2.line(canvas, a, b, [shade * 255 for shade in rainbow], thickness=2)
    for joint in filter(None, seen):
        cv2.circle(canvas, joint, JOINT_RADIUS, (0, 0, 255), thickness=-1)


def draw_face(canvas: Picture, points: Points) -> None:
    """The points of a face in white."""
    for point in points:
        if at := _pixel(canvas, point):
            cv2.circle(canvas, at, FACE_RADIUS, (255, 255, 255), thickness=-1)


def _pixel(canvas: Picture, point: Point | None) -> tuple[int, int] | None:
    """The pixel of a point; None for what was not seen, or lies on the picture's first row."""
    if point is None:
        return None
    x, y = int(point.x * canvas.shape[1]), int(point.y * canvas.shape[0])
    return (x, y) if x > 0 and y > 0 else None


def only(pose: Pose, parts: Parts) -> Pose:
    """`pose` without the parts that are not wanted."""
    return replace(
        pose,
        body=pose.body if parts.body else (None,) * JOINTS,
        left_hand=pose.left_hand if parts.hand else None,
        right_hand=pose.right_hand if parts.hand else None,
        face=pose.face if parts.face else None,
    )


def as_json(
    poses: Sequence[Pose], height: int, width: int, *, scale: tuple[float, float] = (1.0, 1.0)
) -> dict[str, Any]:
    """OpenPose's JSON of one picture; points are multiplied by `scale`, across and down."""
    return {
        "people": [
            {
                "pose_keypoints_2d": _flat(pose.body, scale),
                "face_keypoints_2d": _flat(pose.face, scale),
                "hand_left_keypoints_2d": _flat(pose.left_hand, scale),
                "hand_right_keypoints_2d": _flat(pose.right_hand, scale),
            }
            for pose in poses
        ],
        "canvas_height": height,
        "canvas_width": width,
    }


def _flat(points: Points | None, scale: tuple[float, float]) -> list[float] | None:
    """x, y and 1 of every point, or three zeros."""
    if not points:
        return None
    across, down = scale
    triples = (
        (float(p.x) * across, float(p.y) * down, 1.0) if p else (0.0, 0.0, 0.0) for p in points
    )
    return [number for triple in triples for number in triple]
