"""Faces swapped by a picture of the face that goes: a node of this service's own."""

from typing import Annotated

from graph.annotators import always
from graph.faces import LICENCE, Choosing, Swap, fixed_files
from graph.node import Files, node
from graph.stages import Stage
from graph.stages.faces import FaceNetworks
from graph.values import Image, ModelFile

SWAPPERS = Files("face_swap", lies_in="insightface", note=LICENCE)


@node(
    "FaceSwapByReference",
    runs_on=Stage.IMAGE,
    display_name="Face Swap by Reference",
    category="image/faces",
    costly=True,
    weights=always(*fixed_files("buffalo_l").values()),
)
def swap_by_reference(
    networks: FaceNetworks,
    *,
    image: Image,
    source_image: Image,
    reference_image: Image,
    swap_model: Annotated[ModelFile, SWAPPERS],
) -> Image:
    """Put the largest face of a picture in place of the one that is most like a reference's."""
    how = Swap(swap_model, Choosing())
    return networks.swap_like(networks.detectors, image, source_image, reference_image, how)
