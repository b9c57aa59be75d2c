"""Poses by DWPose: YOLOX finds people, RTMPose their points (the pack's DwposeDetector)."""

from contextlib import ExitStack
from functools import partial
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from graph.annotators import DWPOSE_384, Annotator
from preprocessors.detectors import Detectors
from preprocessors.onnx_networks import OnnxNetwork, build_onnx
from preprocessors.pictures import Picture, at_resolution, each_picture
from preprocessors.pose import Parts, Point, Points, Pose, as_json, draw_poses, only

FINDER_SIDE, FINDER_GREY, FINDER_STRIDES = 640, 114, (8, 16, 32)
PERSON, OVERLAP, CANDIDATE, SURE = 0, 0.45, 0.1, 0.3
MARGIN = 1.25  # of a person's box
SEEN = 0.3
LARGE, SMALL = (288, 384), (192, 256)  # width and height of the pictures that networks take
MEAN, DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
BINS = 2  # for one pixel, of the network's answers
# Of the 133 points of COCO-WholeBody: OpenPose's body (the neck is between the shoulders), and
# where the others lie. Of the feet nothing is drawn.
BODY = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
SHOULDERS = (5, 6)
FACE, LEFT_HAND, RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)
EYES = (14, 15)


def dwpose(
    detectors: Detectors,
    image: Tensor,
    resolution_px: int,
    *,
    people: Annotator | None,
    points: Annotator,
    body: bool = True,
    hand: bool = True,
    face: bool = True,
    wide_sticks: bool = False,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Poses on black, of bodies, hands and faces, and OpenPose's JSON of each picture, in pixels.

    Without a network that finds `people`, every picture is taken for one person.
    """
    parts = Parts(body, hand, face)
    found: list[list[Pose]] = []

    def draw(picture: Picture) -> Picture:
        found.append(find(picture))
        height, width = picture.shape[:2]
        return draw_poses(found[-1], height, width, parts, wide_sticks=wide_sticks)

    with ExitStack() as stack:
        finder = stack.enter_context(detectors.loaded(people, build_onnx)) if people else None
        pointer = stack.enter_context(detectors.loaded(points, build_onnx))
        size = LARGE if points == DWPOSE_384 else SMALL
        find = partial(found_poses, people=finder, points=pointer, size=size)
        drawn = each_picture(image, draw)
    height, width = image.shape[1:3]
    said = [
        as_json([only(pose, parts) for pose in poses], height, width, scale=(width, height))
        for poses in found
    ]
    return at_resolution(drawn, resolution_px, lambda picture: picture), said


def found_poses(
    picture: Picture, people: OnnxNetwork | None, points: OnnxNetwork, size: tuple[int, int]
) -> list[Pose]:
    """The people in an RGB picture."""
    height, width = picture.shape[:2]
    boxes = found_people(people, picture) if people else np.array([[0, 0, width, height]])
    return [as_pose(*found_points(points, picture, box, size), picture) for box in boxes]


def found_people(network: OnnxNetwork, picture: Picture) -> Picture:
    """Boxes [N, 4] of people, each x0 y0 x1 y1, the surest first."""
    height, width = picture.shape[:2]
    ratio = min(FINDER_SIDE / height, FINDER_SIDE / width)
    down, right = int(height * ratio), int(width * ratio)
    x = np.full((FINDER_SIDE, FINDER_SIDE, 3), FINDER_GREY, dtype=np.uint8)
    x[:down, :right] = cv2.resize(picture, (right, down), interpolation=cv2.INTER_LINEAR)
    (said,) = network(x.transpose(2, 0, 1)[None])[0]
    grid, strides = anchors()
    middle, size = (said[:, :2] + grid) * strides, np.exp(said[:, 2:4]) * strides
    boxes = np.concatenate([middle - size / 2, middle + size / 2], axis=1) / ratio
    scores = said[:, 4] * said[:, 5 + PERSON]
    likely = scores > CANDIDATE
    kept = apart(boxes[likely], scores[likely])
    sure = scores[likely][kept] > SURE
    return np.asarray(boxes[likely][kept][sure])


def anchors() -> tuple[Picture, Picture]:
    """Where each prediction is on its grid [N, 2], and how many pixels a cell is [N, 1]."""
    grids, strides = [], []
    for stride in FINDER_STRIDES:
        cells = FINDER_SIDE // stride
        across, down = np.meshgrid(np.arange(cells), np.arange(cells))
        grids.append(np.stack([across, down], axis=2).reshape(-1, 2))
        strides.append(np.full((cells * cells, 1), stride))
    return np.concatenate(grids), np.concatenate(strides)


def apart(boxes: Picture, scores: Picture) -> list[int]:
    """The indices of boxes that overlap no better one too much, the best first."""
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    order, kept = scores.argsort()[::-1], []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low, high = (
            np.maximum(boxes[best, :2], boxes[rest, :2]),
            np.minimum(boxes[best, 2:], boxes[rest, 2:]),
        )
        common = np.prod(np.maximum(0.0, high - low + 1), axis=1)
        order = rest[common / (areas[best] + areas[rest] - common) <= OVERLAP]
    return kept


def found_points(
    network: OnnxNetwork, picture: Picture, box: Picture, size: tuple[int, int]
) -> tuple[Picture, Picture]:
    """The 133 points [133, 2] of the person in a box, in pixels, and how sure they are [133]."""
    width, height = size
    middle, reach = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * MARGIN
    aspect = width / height
    reach = np.array([max(reach[0], reach[1] * aspect), max(reach[1], reach[0] / aspect)])
    corner, scale = middle - reach / 2, width / reach[0]
    warp = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    cut = cv2.warpAffine(picture, warp, size, flags=cv2.INTER_LINEAR)
    across, down = network(((cut - MEAN) / DEVIATION).transpose(2, 0, 1)[None])
    best = np.stack([across[0].argmax(axis=1), down[0].argmax(axis=1)], axis=1)
    scores = np.minimum(across[0].max(axis=1), down[0].max(axis=1))
    at = np.where(scores[:, None] > 0, best, -1) / BINS
    return at / np.array(size) * reach + corner, scores


def as_pose(at: Picture, scores: Picture, picture: Picture) -> Pose:
    """Points in pixels as a pose."""
    height, width = picture.shape[:2]

    def point(index: int) -> Point | None:
        seen = scores[index] >= SEEN
        return Point(at[index, 0] / float(width), at[index, 1] / float(height)) if seen else None

    def group(indices: slice) -> Points | None:
        points = tuple(point(index) for index in range(133)[indices])
        return points if any(points) else None

    body = tuple(_neck(at, scores, picture) if i is None else point(i) for i in BODY)
    face = group(FACE)
    eyes = tuple(body[eye] for eye in EYES)
    return Pose(body, group(LEFT_HAND), group(RIGHT_HAND), (*face, *eyes) if face else None)


def _neck(at: Picture, scores: Picture, picture: Picture) -> Point | None:
    """Between the shoulders, where both are seen."""
    if any(scores[shoulder] <= SEEN for shoulder in SHOULDERS):
        return None
    x, y = at[list(SHOULDERS)].mean(axis=0)
    return Point(x / float(picture.shape[1]), y / float(picture.shape[0]))
