"""Faces found and known by insightface's networks: SCRFD, ArcFace and its gender network.

The pictures are RGB. (Guo et al. 2021, arXiv:2105.04714; Deng et al. 2019, arXiv:1801.07698;
insightface's scrfd.py, arcface_onnx.py, attribute.py.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from graph.faces import (
    DETECTION,
    RECOGNITION,
    Face,
    FaceAnalysis,
    Faces,
    area,
)
from imaging.face_alignment import Picture, Points, upright
from preprocessors.detectors import AnnotatorFile, Detectors
from preprocessors.onnx_networks import NetworkRunError, OnnxNetwork, build_onnx

STRIDES, ANCHORS = (8, 16, 32), 2
SURE, OVERLAP = 0.5, 0.4
SIDES = tuple(range(640, 256, -64))  # of the pictures that are looked at, until a face is found
MOST_FACES = 1_000  # of one picture
EMBEDDING = 512
MIDDLE = 127.5
DETECTOR_SCALE, EMBEDDER_SCALE = 1 / 128.0, 1 / 127.5
ATTRIBUTES_MARGIN = 1.5  # of a face's box
Floats = NDArray[np.float32]
Align = Callable[[Picture, Points, int], Picture]


@dataclass(frozen=True, eq=False)
class Spotted:
    """A face's place in a picture, in pixels."""

    box: tuple[float, float, float, float]
    points: Points
    score: float


def levels(image: Tensor) -> Sequence[Picture]:
    """The pictures of [B, H, W, C] as bytes [H, W, 3], cut off as the packs do."""
    return list((image[..., :3].cpu().float().clamp(0, 1) * 255).byte().numpy())


def build_detector(file: AnnotatorFile) -> OnnxNetwork:
    """SCRFD with points. Raises: ValueError: it is something else."""
    network = build_onnx(file)
    if len(network.outputs) != 3 * len(STRIDES) or len(network.inputs) != 1:
        problem = f"it has {len(network.outputs)} outputs; a detector of faces has 9"
        raise ValueError(problem)
    return network


def build_embedder(file: AnnotatorFile) -> OnnxNetwork:
    """A network that knows faces. Raises: ValueError: it is something else."""
    return _square(build_onnx(file), 112)


def build_attributes(file: AnnotatorFile) -> OnnxNetwork:
    """A network that tells genders. Raises: ValueError: it is something else."""
    return _square(build_onnx(file), 96)


def _square(network: OnnxNetwork, side: int) -> OnnxNetwork:
    shapes = [socket.shape for socket in network.inputs]
    if len(shapes) != 1 or shapes[0][1:] != (3, side, side):
        problem = f"it takes {shapes}, not pictures of {side} × {side} pixels"
        raise ValueError(problem)
    return network


def as_input(picture: Picture, middle: float, scale: float) -> Floats:
    """A picture as [1, 3, H, W]."""
    return ((picture.astype(np.float32) - middle) * np.float32(scale)).transpose(2, 0, 1)[None]


def spotted(network: OnnxNetwork, picture: Picture, side: int) -> list[Spotted]:
    """The faces of a picture that is looked at in a square of `side` pixels, the surest first."""
    height, width = picture.shape[:2]
    tall = height / width
    down, across = (side, int(side / tall)) if tall > 1 else (int(side * tall), side)
    size = max(1, across), max(1, down)
    seen = np.zeros((side, side, 3), dtype=np.uint8)
    seen[: size[1], : size[0]] = cv2.resize(picture, size)
    ratio = size[1] / height
    found = network(as_input(seen, MIDDLE, DETECTOR_SCALE))
    scores, boxes, points = (np.concatenate(part) for part in _decoded(network, found, side))
    good = np.isfinite(boxes).all(axis=1) & np.isfinite(points).all(axis=(1, 2))
    good &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    order = np.flatnonzero(good)[scores[good].argsort()[::-1]]
    boxes, points = (boxes[order] / ratio).astype(np.float32), points[order] / np.float32(ratio)
    scores = scores[order]
    kept = _apart(boxes)[:MOST_FACES]
    return [Spotted(_box(boxes[k]), points[k], float(scores[k])) for k in kept]


def _box(box: Floats) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = map(float, box)
    return x1, y1, x2, y2


def _decoded(
    network: OnnxNetwork, found: Sequence[Floats], side: int
) -> tuple[list[Floats], list[Floats], list[Floats]]:
    """Scores [N], boxes [N, 4] and points [N, 5, 2] of what is sure, by stride."""
    scores, boxes, points = [], [], []
    steps = len(STRIDES)
    for k, stride in enumerate(STRIDES):
        centers = _centers(side // stride, stride)
        parts = [found[k], found[k + steps], found[k + 2 * steps]]
        if [part.size for part in parts] != [len(centers) * n for n in (1, 4, 10)]:
            raise NetworkRunError(network.name, "its outputs are not those of a face detector")
        score, box, point = (part.reshape(len(centers), -1) for part in parts)
        sure = np.flatnonzero(score[:, 0] >= SURE)
        middle, reach = centers[sure], box[sure] * stride
        scores.append(score[sure, 0])
        boxes.append(np.concatenate([middle - reach[:, :2], middle + reach[:, 2:]], axis=1))
        points.append(middle[:, None] + point[sure].reshape(-1, 5, 2) * stride)
    return scores, boxes, points


@cache
def _centers(cells: int, stride: int) -> Floats:
    """Where the predictions of a square grid are [N, 2]; two at every place."""
    down, across = np.mgrid[:cells, :cells]
    places = np.stack([across, down], axis=-1).reshape(-1, 2) * stride
    return np.repeat(places, ANCHORS, axis=0).astype(np.float32)


def _apart(boxes: Floats) -> list[int]:
    """The places of boxes that overlap no better one too much. They come the best first."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    areas, left, kept = sides[:, 0] * sides[:, 1], np.arange(len(boxes)), []
    while left.size:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        common = np.prod(np.maximum(0.0, high - low + 1), axis=1)
        left = rest[common / (areas[best] + areas[rest] - common) <= OVERLAP]
    return kept


def embedding(network: OnnxNetwork, crop: Picture) -> Floats:
    """Who an upright face of 112 pixels is [512]."""
    (found,) = network(as_input(crop, MIDDLE, EMBEDDER_SCALE))
    if found.size != EMBEDDING or not np.isfinite(found).all():
        problem = f"it gives {found.size} numbers of a face, not {EMBEDDING}"
        raise NetworkRunError(network.name, problem)
    return found.reshape(-1)


def is_female(network: OnnxNetwork, picture: Picture, face: Spotted) -> bool:
    """What the gender network says of a face."""
    x1, y1, x2, y2 = face.box
    side = 96
    scale = side / (max(x2 - x1, y2 - y1) * ATTRIBUTES_MARGIN)
    shift = side / 2 - np.array([x1 + x2, y1 + y2]) / 2 * scale
    warp = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], dtype=np.float32)
    crop = cv2.warpAffine(picture, warp, (side, side), borderValue=0.0)
    said = network(as_input(np.asarray(crop, dtype=np.uint8), 0.0, 1.0))[0].reshape(-1)
    if len(said) < 2:
        raise NetworkRunError(network.name, "its outputs are not those of a gender network")
    return bool(said[0] >= said[1])


def known(
    detectors: Detectors, analysis: FaceAnalysis, picture: Picture, face: Spotted, align: Align
) -> Face:
    """A face with who it is."""
    with detectors.opened(analysis.file(RECOGNITION), build_embedder) as network:
        who = embedding(network, align(picture, face.points, 112))
    return Face(face.box, from_numpy(face.points.copy()), face.score, from_numpy(who.copy()))


def faces_of(
    detectors: Detectors,
    analysis: FaceAnalysis,
    image: Tensor,
    *,
    smallest_px: int,
    largest_first: bool,
) -> Faces:
    """The face of each picture: the surest, or the largest. Small pictures show large faces.

    A picture in which none is found is looked at again, smaller by 64 pixels each time.
    """

    def chosen(picture: Picture) -> Face | None:
        with detectors.opened(analysis.file(DETECTION), build_detector) as network:
            for side in range(SIDES[0], smallest_px, -64):
                if found := spotted(network, picture, side):
                    break
        if not found:
            return None
        face = max(reversed(found), key=lambda one: area(one.box)) if largest_first else found[0]
        return known(detectors, analysis, picture, face, upright)

    return Faces(tuple(map(chosen, levels(image))))
