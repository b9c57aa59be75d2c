"""Soft edges by TEED, a tiny network (the pack's TEDDetector)."""

from torch import Tensor, nn

from graph.annotators import TEED, Annotator
from preprocessors.controlnet_aux_parts import part
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch, as_levels, fused, in_steps
from preprocessors.pictures import Picture, at_resolution


def build_teed(file: AnnotatorFile) -> nn.Module:
    return filled(part("teed.ted").TED(), file.tensors())


def teed_edges(
    detectors: Detectors,
    image: Tensor,
    resolution_px: int,
    *,
    safe_steps: int,
    weights: Annotator = TEED,
) -> Tensor:
    """Soft edges, white on black, in `safe_steps` + 1 levels, or with 0 in all there are."""

    def draw(picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        edges = fused(network(as_batch(picture, network)), height, width)
        return as_levels(in_steps(edges, safe_steps) if safe_steps else edges)

    with detectors.loaded(weights, build_teed) as network:
        return at_resolution(image, resolution_px, draw)
