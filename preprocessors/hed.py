"""Soft edges by holistically nested edge detection (the pack's HEDdetector)."""

from torch import Tensor, nn

from graph.annotators import HED
from preprocessors.controlnet_aux_parts import part
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch, as_levels, fused, in_steps, scribbled
from preprocessors.pictures import Picture, at_resolution


def build_hed(file: AnnotatorFile) -> nn.Module:
    return filled(part("hed").ControlNetHED_Apache2(), file.tensors())


def hed_edges(
    detectors: Detectors,
    image: Tensor,
    resolution_px: int,
    *,
    safe: bool,
    scribble: bool = False,
) -> Tensor:
    """Soft edges, white on black; `scribble` makes strokes of them."""

    def draw(picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        edges = fused(network(as_batch(picture, network)), height, width)
        levels = as_levels(in_steps(edges) if safe else edges)
        return scribbled(levels) if scribble else levels

    with detectors.loaded(HED, build_hed) as network:
        return at_resolution(image, resolution_px, draw)
