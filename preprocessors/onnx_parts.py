"""SEGS that detectors in ONNX files find: those of keras-retinanet's layout (Impact Pack onnx.py).

The picture goes in as BGR levels without their mean; boxes, scores and labels come out, until a
label of -1.
"""

from collections.abc import Iterator

import numpy as np
import torch

from graph.segs import MOST_PARTS
from imaging.segs import Found
from preprocessors.detectors import AnnotatorFile
from preprocessors.onnx_networks import NetworkRunError, OnnxNetwork, build_onnx
from preprocessors.pictures import Picture

MEAN = np.array([103.939, 116.779, 123.68], dtype=np.float32)  # blue, green, red
ENDING = ".onnx"


def build_onnx_detector(file: AnnotatorFile) -> OnnxNetwork:
    """Raises: ValueError: the file is none of a detector."""
    network = build_onnx(file)
    if len(network.inputs) != 1 or len(network.outputs) < 3:
        problem = f"it has {len(network.inputs)} inputs and {len(network.outputs)} outputs; a "
        problem += "detector has one, and gives boxes, scores and labels"
        raise ValueError(problem)
    return network


def found_in_onnx(network: OnnxNetwork, picture: Picture, threshold: float) -> Iterator[Found]:
    """The boxes in an RGB picture, with full masks. Their labels are numbers.

    Raises:
        NetworkRunError: the network gives something else.
    """
    height, width = picture.shape[:2]
    outputs = network((picture[..., ::-1].astype(np.float32) - MEAN)[None])
    labels = next((o[0] for o in outputs if o.dtype == np.int32 and o.ndim == 2), None)
    scores = next((o[0] for o in outputs if o.dtype == np.float32 and o.ndim == 2), None)
    boxes = next((o[0] for o in outputs if o.ndim == 3 and o.shape[2] == 4), None)
    if labels is None or scores is None or boxes is None:
        raise NetworkRunError(network.name, "its outputs are no boxes, scores and labels")
    ends = np.flatnonzero(labels == -1)
    count = min(int(ends[0]) if ends.size else len(labels), len(scores), len(boxes), MOST_PARTS)
    limits = np.array([width, height, width, height])
    for label, score, box in zip(labels[:count], scores[:count], boxes[:count], strict=True):
        if not score > threshold or not np.isfinite(box).all():
            continue
        x1, y1, x2, y2 = (int(side) for side in np.clip(box, 0, limits))
        mask = torch.zeros(height, width)
        mask[y1:y2, x1:x2] = 1.0
        yield Found(str(label), (x1, y1, x2, y2), float(score), mask)
