"""Poses by OpenPose (the pack's OpenposeDetector)."""

from contextlib import ExitStack
from typing import Any

import numpy as np
from torch import Tensor, nn

from graph.annotators import OPENPOSE_BODY, OPENPOSE_FACE, OPENPOSE_HAND
from preprocessors.detectors import Detectors
from preprocessors.openpose_bodies import Joints, found_bodies
from preprocessors.openpose_nets import (
    body_maps,
    build_body,
    build_face,
    build_hand,
    face_maps,
    hand_maps,
)
from preprocessors.pictures import Picture, at_resolution
from preprocessors.pose import Parts, Point, Points, Pose, as_json, draw_poses

SMALLEST_PX = 20  # side of a cut-out
HAND_SIDE, HAND_POINTS, HAND_SEEN, FACE_SEEN, BLUR = 128, 21, 0.05, 0.05, 3
REACH = 0.33  # from the wrist on, of the way from the elbow
LEFT_ARM, RIGHT_ARM = (5, 6, 7), (2, 3, 4)  # shoulder, elbow, wrist
NOSE, EYES, EARS = 0, (14, 15), (16, 17)
Box = tuple[int, int, int]  # x, y and side of a square


def openpose(
    detectors: Detectors,
    image: Tensor,
    resolution_px: int,
    *,
    body: bool = True,
    hand: bool = True,
    face: bool = True,
    wide_sticks: bool = False,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Poses on black, of bodies, hands and faces, and OpenPose's JSON of each picture."""
    parts = Parts(body, hand, face)
    found: list[list[Pose]] = []

    def draw(picture: Picture) -> Picture:
        found.append(found_poses(picture[..., ::-1].copy(), *networks))
        height, width = picture.shape[:2]
        return draw_poses(found[-1], height, width, parts, wide_sticks=wide_sticks)

    with ExitStack() as stack:
        networks = [
            stack.enter_context(detectors.loaded(annotator, build)) if wanted else None
            for wanted, annotator, build in (
                (True, OPENPOSE_BODY, build_body),
                (hand, OPENPOSE_HAND, build_hand),
                (face, OPENPOSE_FACE, build_face),
            )
        ]
        drawn = at_resolution(image, resolution_px, draw)
    height, width = drawn.shape[1:3]
    return drawn, [as_json(poses, height, width) for poses in found]


def found_poses(
    picture: Picture, body: nn.Module | None, hand: nn.Module | None, face: nn.Module | None
) -> list[Pose]:
    """The people in a BGR picture; hands and faces where there are networks for them."""
    assert body is not None
    height, width = picture.shape[:2]
    poses = []
    for joints in found_bodies(*body_maps(body, picture)):
        boxes = [hand_box(joints, arm, picture) if hand else None for arm in (LEFT_ARM, RIGHT_ARM)]
        left, right = (hand_points(picture, box, hand) if box and hand else None for box in boxes)
        face_at = face_box(joints, picture) if face else None
        seen = face_points(picture, face_at, face) if face_at and face else None
        body_points = tuple(
            Point(p.x / float(width), p.y / float(height)) if p else None for p in joints
        )
        poses.append(Pose(body_points, left, right, seen))
    return poses


def hand_box(joints: Joints, arm: tuple[int, int, int], picture: Picture) -> Box | None:
    """Where a hand must be, by the arm that it is on; None where that is not seen."""
    at = [np.array([p.x, p.y], dtype=np.float64) for joint in arm if (p := joints[joint])]
    if len(at) < len(arm):
        return None
    shoulder, elbow, wrist = at
    forearm, upper_arm = np.linalg.norm(wrist - elbow), np.linalg.norm(elbow - shoulder)
    side = 1.5 * max(float(forearm), 0.9 * float(upper_arm))
    x, y = wrist + REACH * (wrist - elbow) - side / 2
    return _inside(float(x), float(y), side, side, picture)


def face_box(joints: Joints, picture: Picture) -> Box | None:
    """Where a face must be, by nose, eyes and ears; None where these are not seen."""
    nose = joints[NOSE]
    if nose is None:
        return None
    sides = [
        times * max(abs(nose.x - p.x), abs(nose.y - p.y))
        for times, kinds in ((3.0, EYES), (1.5, EARS))
        for kind in kinds
        if (p := joints[kind])
    ]
    side = max(sides, default=0.0)
    return _inside(nose.x - side, nose.y - side, side, 2 * side, picture)


def _inside(x: float, y: float, reach: float, side: float, picture: Picture) -> Box | None:
    """A square within the picture; cut where it would end `reach` after x or y, if that is out."""
    height, width = picture.shape[:2]
    x, y = max(x, 0.0), max(y, 0.0)
    across = width - x if x + reach > width else side
    down = height - y if y + reach > height else side
    side = min(across, down)
    return (int(x), int(y), int(side)) if side >= SMALLEST_PX else None


def hand_points(picture: Picture, box: Box, network: nn.Module) -> Points:
    """The 21 points of the hand in a cut-out."""
    cut = _cut(picture, box)
    heat = hand_maps(network, cut, HAND_SIDE)
    peaks = [hand_peak(heat[..., point], cut) for point in range(HAND_POINTS)]
    return _placed(np.array(peaks), box, picture)


def hand_peak(heat: Picture, cut: Picture) -> tuple[int, int]:
    """The highest pixel of the patch of a heatmap that has the most heat; the corner if none."""
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped] # noqa: PLC0415 - slow
    from skimage.measure import label  # noqa: PLC0415 - slow

    seen = gaussian_filter(heat, sigma=BLUR) > HAND_SEEN
    patches = label(seen, connectivity=heat.ndim)  # type: ignore[no-untyped-call]
    if not patches.any():
        return 0, 0
    sums = [heat[patches == index].sum() for index in range(1, patches.max() + 1)]
    alone = np.where(patches == int(np.argmax(sums)) + 1, heat, 0)
    y, x = np.unravel_index(int(alone.argmax()), alone.shape)
    side = float(HAND_SIDE)
    return int(float(x) * cut.shape[1] / side), int(float(y) * cut.shape[0] / side)


def face_points(picture: Picture, box: Box, network: nn.Module) -> Points | None:
    """The points of the face in a cut-out, but those that are not seen."""
    peaks = [
        np.unravel_index(int(heat.argmax()), heat.shape)[::-1]
        for heat in face_maps(network, _cut(picture, box))
        if (heat > FACE_SEEN).any()
    ]
    return _placed(np.array(peaks), box, picture) if peaks else None


def _cut(picture: Picture, box: Box) -> Picture:
    x, y, side = box
    return picture[y : y + side, x : x + side]


def _placed(peaks: Picture, box: Box, picture: Picture) -> Points:
    """Pixels of a cut-out as points of its picture; 0 is what was not seen, and lies outside."""
    at = peaks.astype(np.float32)
    for axis, (start, side) in enumerate(zip(box[:2], picture.shape[1::-1], strict=True)):
        at[:, axis] = np.where(at[:, axis] < 1e-6, -1, at[:, axis] + start) / float(side)
    return tuple(Point(x, y) for x, y in at)
