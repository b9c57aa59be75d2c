"""SEGS that YOLO files find (Impact Subpack's subcore.py), and detectors in ONNX files."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from graph.errors import NotAvailableError
from graph.segs import BboxDetector, Detection, SegmDetector, Segs
from imaging.segs import Found, one_picture, segs_of
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.onnx_parts import ENDING, build_onnx_detector, found_in_onnx
from preprocessors.pictures import Picture
from preprocessors.yolo import STRIDES, Yolo, find

SIZE_PX = 640  # of the longer side, where a file does not say it
LARGEST_PX = 2048
SHAPES = "UltralyticsDetectorProvider"


def build_yolo(file: AnnotatorFile) -> Yolo:
    """The network of a file of Ultralytics. No code in it is run."""
    weights, facts = file.tensors(), file.facts()
    names = {int(index): name for index, name in (facts.get("names") or {}).items()}
    stride = STRIDES[-1]
    size = -(-(facts.get("imgsz") or SIZE_PX) // stride) * stride
    built = filled(Yolo(weights, names, min(max(size, stride), LARGEST_PX)), weights)
    assert isinstance(built, Yolo)
    return built


def find_boxes(detectors: Detectors, detector: BboxDetector, image: Tensor, how: Detection) -> Segs:
    """The boxes in one picture [1, H, W, C]; their masks are full."""
    picture = _levels(image)
    if detector.file.name.lower().endswith(ENDING):
        with detectors.opened(detector.file, build_onnx_detector) as graph:
            return segs_of(found_in_onnx(graph, picture, how.threshold), image, how)
    with detectors.opened(detector.file, build_yolo) as network:
        things = find(network, picture, how.threshold)

    def found() -> Iterable[Found]:
        for thing in things:
            mask = torch.zeros(picture.shape[:2])
            x1, y1, x2, y2 = map(int, thing.box)
            mask[y1 : y2 + 1, x1 : x2 + 1] = 1.0  # with its last row and column, as OpenCV draws it
            yield Found(thing.name, thing.box, thing.confidence, mask)

    return segs_of(found(), image, how)


def find_shapes(
    detectors: Detectors, detector: SegmDetector, image: Tensor, how: Detection
) -> Segs:
    """The shapes in one picture [1, H, W, C].

    Raises:
        NotAvailableError: the file finds boxes alone.
    """
    needed = "a file of shapes in models/ultralytics/segm for its SEGM_DETECTOR"
    if detector.file is None:
        raise NotAvailableError(SHAPES, needed)
    picture = _levels(image)
    with detectors.opened(detector.file, build_yolo) as network:
        if not len(network.model["22"].cv4):  # type: ignore[arg-type]
            raise NotAvailableError(SHAPES, needed)
        things = find(network, picture, how.threshold)
    found = (
        Found(thing.name, thing.box, thing.confidence, _whole(thing.shape, picture))
        for thing in things
        if thing.shape is not None
    )
    return segs_of(found, image, how)


def _levels(image: Tensor) -> Picture:
    levels = (255.0 * one_picture(image)[0, ..., :3].float()).clamp(0, 255)
    return np.asarray(levels.to(torch.uint8).cpu().numpy())


def _whole(shape: Tensor, picture: Picture) -> Tensor:
    """A shape in the size of its picture, without the borders that the network saw.

    The pack takes borders away by the difference of proportions, and so does this.
    """
    high, wide = shape.shape
    height, width = picture.shape[:2]
    above = before = 0
    if high / wide > height / width:
        above = int((high / wide - height / width) * high)
    elif high / wide < height / width:
        before = int((wide / high - width / height) * wide)
    inner = shape[above : high - above, before : wide - before]
    if inner.numel() == 0:
        return torch.zeros(height, width)
    return interpolate(inner[None, None], size=(height, width), mode="bilinear")[0, 0]
