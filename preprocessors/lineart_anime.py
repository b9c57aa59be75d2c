"""Lines in the manner of anime (the pack's LineartAnimeDetector)."""

from functools import partial

import cv2
import numpy as np
from torch import Tensor, nn

from graph.annotators import LINEART_ANIME
from preprocessors.controlnet_aux_parts import part
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch
from preprocessors.pictures import Picture, at_resolution

SIDE = 256  # the network halves a picture eight times


def build_lineart_anime(file: AnnotatorFile) -> nn.Module:
    norm = partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    network = part("lineart_anime").UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    return filled(network, file.tensors())


def anime_lineart(detectors: Detectors, image: Tensor, resolution_px: int) -> Tensor:
    """White lines on black."""

    def draw(picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        sides = width + -width % SIDE, height + -height % SIDE
        resized = cv2.resize(picture, sides, interpolation=cv2.INTER_CUBIC)
        lines = network(as_batch(resized, network) / 127.5 - 1.0)[0, 0] * 127.5 + 127.5
        levels = lines.cpu().numpy().clip(0, 255).astype(np.uint8)
        return np.asarray(255 - cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA))

    with detectors.loaded(LINEART_ANIME, build_lineart_anime) as network:
        return at_resolution(image, resolution_px, draw)
