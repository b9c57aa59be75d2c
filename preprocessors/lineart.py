"""Lines as an artist draws them from a photograph (the pack's LineartDetector)."""

from torch import Tensor, nn

from graph.annotators import LINEART, LINEART_COARSE
from preprocessors.controlnet_aux_parts import part
from preprocessors.detectors import AnnotatorFile, Detectors, filled
from preprocessors.edges import as_batch, as_levels
from preprocessors.pictures import Picture, at_resolution

RESIDUAL_BLOCKS = 3


def build_lineart(file: AnnotatorFile) -> nn.Module:
    return filled(part("lineart").Generator(3, 1, RESIDUAL_BLOCKS), file.tensors())


def realistic_lineart(
    detectors: Detectors, image: Tensor, resolution_px: int, *, coarse: bool
) -> Tensor:
    """White lines on black; `coarse` draws fewer and thicker ones."""

    def draw(picture: Picture) -> Picture:
        lines = network(as_batch(picture, network) / 255.0)[0, 0].cpu().numpy()
        return 255 - as_levels(lines)

    with detectors.loaded(LINEART_COARSE if coarse else LINEART, build_lineart) as network:
        return at_resolution(image, resolution_px, draw)
