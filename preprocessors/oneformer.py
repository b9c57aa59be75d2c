"""Semantic segmentation by OneFormer (the pack's OneformerSegmentor)."""

from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image as PilImage
from torch import Tensor, nn

from graph.annotators import ONEFORMER_ADE20K, ONEFORMER_COCO, Annotator
from preprocessors.controlnet_aux_parts import part
from preprocessors.detectors import AnnotatorFile, Detectors, device_of
from preprocessors.pictures import Picture, at_resolution
from preprocessors.transformers_models import pretrained

TASK = (49406, 518, 10549, 533, 29119, 1550, 49407)  # "the task is semantic", in CLIP's tokens
TASK_LENGTH = 77
SIZE_ADE20K = {"shortest_edge": 640, "longest_edge": 2560}
SIZE_COCO = {"shortest_edge": 800, "longest_edge": 1333}
GOLDEN_ANGLE = 137.508  # degrees
MOST_CLASSES = 200


class Segmenter(nn.Module):
    """OneFormer, asked for semantics, with its image processor."""

    def __init__(self, model: nn.Module, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    def forward(self, picture: Picture) -> Picture:
        """The class of every pixel [H, W]."""
        inputs = self.processor(
            images=PilImage.fromarray(picture), task_inputs=["semantic"], return_tensors="pt"
        )
        device = device_of(self.model)
        task = torch.zeros(1, TASK_LENGTH, dtype=torch.long, device=device)
        task[0, : len(TASK)] = torch.tensor(TASK)
        outputs = self.model(pixel_values=inputs["pixel_values"].to(device), task_inputs=task)
        (classes,) = self.processor.post_process_semantic_segmentation(
            outputs, target_sizes=[picture.shape[:2]]
        )
        return np.asarray(classes.cpu().numpy())


def _build(file: AnnotatorFile, *, size: dict[str, int]) -> Segmenter:
    """OneFormer from transformers' checkpoint."""
    from transformers.models.oneformer.configuration_oneformer import OneFormerConfig  # noqa: PLC0415
    from transformers.models.oneformer.image_processing_pil_oneformer import (  # noqa: PLC0415
        OneFormerImageProcessorPil,
    )
    from transformers.models.oneformer.modeling_oneformer import OneFormerForUniversalSegmentation  # noqa: PLC0415

    known = {"size": size, **file.config("preprocessor_config.json"), "class_info_file": None}
    config = OneFormerConfig.from_dict(file.config())
    model = pretrained(OneFormerForUniversalSegmentation, config, file.tensors())
    return Segmenter(model, OneFormerImageProcessorPil.from_dict(known))


build_oneformer_ade20k = partial(_build, size=SIZE_ADE20K)
build_oneformer_coco = partial(_build, size=SIZE_COCO)


def segments_ade20k(detectors: Detectors, image: Tensor, resolution_px: int) -> Tensor:
    """Every pixel in the colour of its class, in the colours of ADE20K."""
    colors = np.array(part("util").ade_palette(), dtype=np.uint8)
    build = build_oneformer_ade20k
    return _segments(detectors, image, resolution_px, (ONEFORMER_ADE20K, build, colors))


def segments_coco(detectors: Detectors, image: Tensor, resolution_px: int) -> Tensor:
    """Every pixel in the colour of its class, in the pack's colours for COCO."""
    build = build_oneformer_coco
    return _segments(detectors, image, resolution_px, (ONEFORMER_COCO, build, coco_colors()))


def _segments(
    detectors: Detectors,
    image: Tensor,
    resolution_px: int,
    network: tuple[Annotator, Any, Picture],
) -> Tensor:
    annotator, build, colors = network
    with detectors.loaded(annotator, build) as segmenter:
        return at_resolution(
            image, resolution_px, lambda picture: colors[segmenter(picture) % len(colors)]
        )


def coco_colors() -> Picture:
    """[200, 3]: black, then hues a golden angle apart, of changing saturation and brightness."""
    n = np.arange(1, MOST_CLASSES)
    saturation, value = 0.6 + 0.4 * (n % 3) / 2, 0.7 + 0.3 * (n % 2)
    hsv = np.stack([n * GOLDEN_ANGLE % 360 / 2, saturation * 255, value * 255], axis=1)
    colors = cv2.cvtColor(hsv.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0]
    return np.concatenate([np.zeros((1, 3), dtype=np.uint8), colors])
