"""Networks in ONNX files, run by OpenCV: the file is a graph of operators, and no program."""

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import cv2
import numpy as np

from preprocessors.detectors import AnnotatorFile
from preprocessors.pictures import Picture


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """A network on the CPU. Safe to call from several threads, which take turns."""

    net: Any
    nbytes: int
    turn: Lock = field(default_factory=Lock)

    def __call__(self, x: Picture) -> list[Picture]:
        """What the network gives for an input [B, C, H, W], by output."""
        with self.turn:
            self.net.setInput(np.ascontiguousarray(x, dtype=np.float32))
            return list(self.net.forward(self.net.getUnconnectedOutLayersNames()))


def build_onnx(file: AnnotatorFile) -> OnnxNetwork:
    return OnnxNetwork(cv2.dnn.readNetFromONNX(str(file.path)), file.path.stat().st_size)
