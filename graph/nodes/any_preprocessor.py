"""The ControlNet-aux pack's node for all its hint makers, by name."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from graph.annotators import Needed
from graph.node import REQUIRED, Choices, MayBeAbsent, NodeType, Widget, declared_in, node
from graph.nodes import (
    depth_detectors,
    line_detectors,
    pose_detectors,
    preprocessors,
    segmentation,
)
from graph.stages import Stage
from graph.stages.image import ImageFunctions
from graph.values import Image

NONE = "none"
NOT_OF_A_PICTURE_ALONE = frozenset({"InpaintPreprocessor"})

# The node types that need nothing but a picture.
BY_NAME: Mapping[str, NodeType] = {
    name: node_type
    for name, node_type in declared_in(
        preprocessors, line_detectors, depth_detectors, pose_detectors, segmentation
    ).items()
    if name not in NOT_OF_A_PICTURE_ALONE
}


def _weights(constants: Mapping[str, Any]) -> Sequence[Needed]:
    """What the preprocessor that is named needs with its defaults."""
    chosen = BY_NAME.get(constants.get("preprocessor", NONE))
    if chosen is None:
        return ()
    inputs = chosen.inputs.values()
    return chosen.weights({i.name: i.default for i in inputs if i.default is not REQUIRED})


@node(
    "AIO_Preprocessor",
    runs_on=Stage.IMAGE,
    display_name="AIO Aux Preprocessor",
    category="ControlNet Preprocessors",
    weights=_weights,
)
def any_hint(
    hints: ImageFunctions,
    *,
    image: Image,
    preprocessor: Annotated[str, Choices((NONE, *BY_NAME)), MayBeAbsent()] = NONE,
    resolution: Annotated[int, Widget(min=64, max=16384, step=64), MayBeAbsent()] = 512,
) -> Image:
    """Run the preprocessor of that name, with its defaults."""
    if preprocessor == NONE:
        return image
    chosen = BY_NAME[preprocessor]
    sized = {"resolution": resolution} if "resolution" in chosen.inputs else {}
    drawn = chosen.function(hints, image=image, **sized)
    return drawn[0] if len(chosen.outputs) > 1 else drawn
