"""Hint makers that tell things in pictures apart, under the ControlNet-aux pack's names."""

from typing import Annotated, Any, Protocol

from graph.annotators import ONEFORMER_ADE20K, ONEFORMER_COCO, UNIFORMER, always
from graph.node import MayBeAbsent, Stage, Widget, node
from graph.values import Image

SEGMENTATION = "ControlNet Preprocessors/Semantic Segmentation"

Resolution = Annotated[int, Widget(min=64, max=16384, step=64), MayBeAbsent()]


class Hints(Protocol):
    """Functions of preprocessors/, and the networks they take."""

    detectors: Any

    def segments_ade20k(self, detectors: Any, image: Image, px: int) -> Image: ...

    def segments_coco(self, detectors: Any, image: Image, px: int) -> Image: ...

    def segments_uniformer(self, detectors: Any, image: Image, px: int) -> Image: ...


@node(
    "OneFormer-COCO-SemSegPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="OneFormer COCO Segmentor",
    category=SEGMENTATION,
    weights=always(ONEFORMER_COCO),
)
def segments_coco(hints: Hints, *, image: Image, resolution: Resolution = 512) -> Image:
    """Paint things in the colour of what they are, among COCO's classes."""
    return hints.segments_coco(hints.detectors, image, resolution)


@node(
    "OneFormer-ADE20K-SemSegPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="OneFormer ADE20K Segmentor",
    category=SEGMENTATION,
    weights=always(ONEFORMER_ADE20K),
)
def segments_ade20k(hints: Hints, *, image: Image, resolution: Resolution = 512) -> Image:
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
def segments_uniformer(hints: Hints, *, image: Image, resolution: Resolution = 512) -> Image:
    """Paint things in the colour of what they are, among ADE20K's classes."""
    return hints.segments_uniformer(hints.detectors, image, resolution)
