"""Hint makers that tell things in pictures apart, under the ControlNet-aux pack's names."""

from typing import Annotated

from graph.annotators import ONEFORMER_ADE20K, ONEFORMER_COCO, UNIFORMER, always
from graph.node import MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.hints import Segmentation
from graph.values import Image

SEGMENTATION = "ControlNet Preprocessors/Semantic Segmentation"

Resolution = Annotated[int, Widget(min=64, max=16384, step=64), MayBeAbsent()]


@node(
    "OneFormer-COCO-SemSegPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="OneFormer COCO Segmentor",
    category=SEGMENTATION,
    weights=always(ONEFORMER_COCO),
)
def segments_coco(hints: Segmentation, *, image: Image, resolution: Resolution = 512) -> Image:
    """Paint things in the colour of what they are, among COCO's classes."""
    return hints.segments_coco(hints.detectors, image, resolution)


@node(
    "OneFormer-ADE20K-SemSegPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="OneFormer ADE20K Segmentor",
    category=SEGMENTATION,
    weights=always(ONEFORMER_ADE20K),
)
def segments_ade20k(hints: Segmentation, *, image: Image, resolution: Resolution = 512) -> Image:
    """Paint things in the colour of what they are, among ADE20K's classes."""
    return hints.segments_ade20k(hints.detectors, image, resolution)


@node(
    "SemSegPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Semantic Segmentor (legacy, alias for UniFormer)",
    category=SEGMENTATION,
    weights=always(UNIFORMER),
)
@node(
    "UniFormer-SemSegPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="UniFormer Segmentor",
    category=SEGMENTATION,
    weights=always(UNIFORMER),
)
def segments_uniformer(hints: Segmentation, *, image: Image, resolution: Resolution = 512) -> Image:
    """Paint things in the colour of what they are, among ADE20K's classes."""
    return hints.segments_uniformer(hints.detectors, image, resolution)
