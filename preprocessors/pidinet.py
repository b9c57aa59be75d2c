"""Soft edges by convolutions of pixel differences (the pack's PidiNetDetector)."""

from torch import Tensor, nn

from graph.annotators import PIDINET
from preprocessors.controlnet_aux_parts import part
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch, as_levels, in_steps, scribbled
from preprocessors.pictures import Picture, at_resolution, each_picture


def build_pidinet(file: AnnotatorFile) -> nn.Module:
    return filled(part("pidi.model").pidinet(), file.tensors())


def pidinet_edges(
    detectors: Detectors,
    image: Tensor,
    resolution_px: int,
    *,
    safe: bool,
    scribble: bool = False,
) -> Tensor:
    """Soft edges, white on black; `scribble` makes strokes of them, and as the pack's node does,
    strokes of those again."""

    def draw(picture: Picture) -> Picture:
        x = as_batch(picture[..., ::-1], network) / 255.0
        edges = network(x)[-1][0, 0].cpu().numpy()
        levels = as_levels(in_steps(edges) if safe else edges)
        return scribbled(levels) if scribble else levels

    with detectors.loaded(PIDINET, build_pidinet) as network:
        drawn = at_resolution(image, resolution_px, draw)
    return each_picture(drawn, scribbled) if scribble else drawn
