"""Depth by LeReS (the pack's LeresDetector without its boost)."""

import cv2
import numpy as np
from torch import Tensor, nn

from graph.annotators import LERES
from preprocessors.controlnet_aux_parts import part
from preprocessors.depth import imagenet, stretched
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch
from preprocessors.pictures import Picture, at_resolution

MOST = 2**16 - 1


def build_leres(file: AnnotatorFile) -> nn.Module:
    model = part("leres.leres.multi_depth_model_woauxi").RelDepthModel(backbone="resnext101")
    return filled(model, file.tensors())


def leres_depth(
    detectors: Detectors, image: Tensor, resolution_px: int, *, nearest: float, background: float
) -> Tensor:
    """Depth maps, the nearer the brighter.

    `nearest` and `background` are percentages of the way: what is nearer or further is cut off.
    """

    def draw(picture: Picture) -> Picture:
        # Levels of 255 and not of 1, blue first: so the network's users have always fed it.
        x = imagenet(as_batch(picture[..., ::-1], network))
        depth = network.get_submodule("depth_model")(x)[0, 0].cpu().numpy()
        fine = (stretched(depth) * MOST).astype(np.uint16)
        levels = cv2.convertScaleAbs(fine, alpha=255.0 / MOST)
        far = _above(levels, nearest)
        return _above(cv2.bitwise_not(far), background)

    with detectors.loaded(LERES, build_leres) as network:
        return at_resolution(image, resolution_px, draw)


def _above(levels: Picture, percent: float) -> Picture:
    """`levels`, and 0 where they are not above that share of 255."""
    if percent == 0:
        return levels
    kept: Picture = cv2.threshold(levels, percent / 100 * 255, 255, cv2.THRESH_TOZERO)[1]
    return kept
