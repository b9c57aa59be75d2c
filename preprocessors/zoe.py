"""Depth in metres by ZoeDepth, drawn as the pack's ZoeDetector draws it."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from graph.annotators import ZOE
from preprocessors.depth import DepthNetwork, stretched
from preprocessors.detectors import AnnotatorFile, Detectors
from preprocessors.edges import as_levels
from preprocessors.pictures import Picture, at_resolution
from preprocessors.transformers_models import pretrained

NEAR, FAR = 2, 85  # percentiles that become white and black


def build_zoe(file: AnnotatorFile) -> DepthNetwork:
    """ZoeDepth from transformers' checkpoint."""
    from transformers.models.zoedepth.configuration_zoedepth import ZoeDepthConfig  # noqa: PLC0415
    from transformers.models.zoedepth.image_processing_pil_zoedepth import ZoeDepthImageProcessorPil  # noqa: PLC0415
    from transformers.models.zoedepth.modeling_zoedepth import ZoeDepthForDepthEstimation  # noqa: PLC0415

    config = ZoeDepthConfig.from_dict(file.config())
    model = pretrained(ZoeDepthForDepthEstimation, config, file.tensors())
    processor = ZoeDepthImageProcessorPil.from_dict(file.config("preprocessor_config.json"))
    return DepthNetwork(model, processor)


def zoe_depth(detectors: Detectors, image: Tensor, resolution_px: int) -> Tensor:
    """Depth maps, the nearer the brighter."""

    def draw(picture: Picture) -> Picture:
        said = network(picture).predicted_depth
        depth = without_padding(said, picture, network.processor)
        levels = np.trunc(stretched(depth) * 255)
        near, far = np.percentile(levels, NEAR), np.percentile(levels, FAR)
        if near == far:
            return np.zeros(levels.shape, dtype=np.uint8)
        return as_levels(1.0 - (levels - near) / (far - near))

    with detectors.loaded(ZOE, build_zoe) as network:
        return at_resolution(image, resolution_px, draw)


def without_padding(depth: Tensor, picture: Picture, processor: Any) -> Picture:
    """The depth [1, h, w] of a picture that the processor has padded and resized."""
    height, width = picture.shape[:2]
    down = right = 0
    if processor.do_pad:
        down, right = (int(np.sqrt(side / 2) * 3) for side in (height, width))
    size = height + 2 * down, width + 2 * right
    sized = nn.functional.interpolate(
        depth[:, None].float(), size=size, mode="bicubic", align_corners=False
    )
    inner = sized[0, 0, down : down + height, right : right + width]
    return np.asarray(inner.cpu().numpy())
