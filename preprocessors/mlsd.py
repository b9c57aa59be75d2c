"""Straight lines, by M-LSD (the pack's MLSDdetector)."""

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from graph.annotators import MLSD
from preprocessors.controlnet_aux_parts import part
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch
from preprocessors.pictures import Picture, at_resolution

MOST_LINES = 200
NEIGHBOURHOOD = 3  # pixels; of the centres within it the strongest counts


def build_mlsd(file: AnnotatorFile) -> nn.Module:
    return filled(part("mlsd.models.mbv2_mlsd_large").MobileV2_MLSD_Large(), file.tensors())


def straight_lines(
    detectors: Detectors,
    image: Tensor,
    resolution_px: int,
    *,
    score_threshold: float,
    length_threshold: float,
) -> Tensor:
    """White lines on black: those seen surely enough, and long enough in pixels of the map."""

    def draw(picture: Picture) -> Picture:
        canvas = np.zeros(picture.shape[:2], dtype=np.uint8)
        alpha = np.ones((*picture.shape[:2], 1), dtype=np.uint8)
        x = as_batch(np.concatenate([picture, alpha], axis=2), network) / 127.5 - 1.0
        for line in found_lines(network(x), score_threshold, length_threshold):
            x0, y0, x1, y1 = (int(2 * end) for end in line)  # the map is half as large
            cv2.line(canvas, (x0, y0), (x1, y1), 255, 1)
        return canvas

    with detectors.loaded(MLSD, build_mlsd) as network:
        return at_resolution(image, resolution_px, draw, enlarge=cv2.INTER_AREA)


def found_lines(maps: Tensor, score_threshold: float, length_threshold: float) -> Picture:
    """Lines [N, 4], each x0 y0 x1 y1, in the network's maps [1, 5 and more, h, w].

    The first map is the logit of a line's centre, the next four lead from there to both ends.
    """
    heat = torch.sigmoid(maps[:, 0])
    peaks = nn.functional.max_pool2d(
        heat, NEIGHBOURHOOD, stride=1, padding=(NEIGHBOURHOOD - 1) // 2
    )
    flat = (heat * (peaks == heat)).flatten()
    scores, at = torch.topk(flat, min(MOST_LINES, len(flat)))
    width = maps.shape[-1]
    centres = torch.stack([at % width, at // width, at % width, at // width], dim=1)
    reach = maps[0, 1:5].flatten(1)[:, at].T
    lengths = (reach[:, :2] - reach[:, 2:]).pow(2).sum(1).sqrt()
    sure = (scores > score_threshold) & (lengths > length_threshold)
    return np.asarray((centres + reach)[sure].cpu().numpy())
