"""Hint makers that estimate depth and normals, under the ControlNet-aux pack's names."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from graph.annotators import (
    DEPTH_ANYTHING,
    DEPTH_ANYTHING_V2,
    LERES,
    MIDAS,
    NORMAL_BAE,
    ZOE,
    Annotator,
    always,
    chosen_from,
)
from graph.errors import NotAvailableError
from graph.node import Choices, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.hints import DepthDetectors
from graph.values import Image

BOOST = "LeReS-DepthMapPreprocessor with boost"
BOOST_NEEDS = "controlnet-aux's leres.depthmap, which imports torchvision"
DEPTH = "ControlNet Preprocessors/Normal and Depth Estimators"

Resolution = Annotated[int, Widget(min=64, max=16384, step=64), MayBeAbsent()]
Flatness = Annotated[float, Widget(min=0.0, max=math.pi * 5.0, step=0.01), MayBeAbsent()]
Share = Annotated[float, Widget(min=0, max=1, step=0.01), MayBeAbsent()]
Percent = Annotated[float, Widget(min=0, max=100.0, step=0.01), MayBeAbsent()]
DepthAnything = Literal[
    "depth_anything_vitl14.pth", "depth_anything_vitb14.pth", "depth_anything_vits14.pth"
]
DepthAnythingV2 = Literal[
    "depth_anything_v2_vitg.pth",
    "depth_anything_v2_vitl.pth",
    "depth_anything_v2_vitb.pth",
    "depth_anything_v2_vits.pth",
]


@node(
    "MiDaS-NormalMapPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="MiDaS Normal Map",
    category=DEPTH,
    weights=always(MIDAS),
)
def midas_normals(
    hints: DepthDetectors,
    *,
    image: Image,
    a: Flatness = math.pi * 2.0,
    bg_threshold: Share = 0.1,
    resolution: Resolution = 512,
) -> Image:
    """Show which way the surfaces of pictures face."""
    return hints.midas_normals(hints.detectors, image, resolution, a=a, background=bg_threshold)


@node(
    "MiDaS-DepthMapPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="MiDaS Depth Map",
    category=DEPTH,
    weights=always(MIDAS),
)
def midas_depth(
    hints: DepthDetectors,
    *,
    image: Image,
    a: Flatness = math.pi * 2.0,  # noqa: ARG001 - the pack shows both and takes no notice either
    bg_threshold: Share = 0.1,  # noqa: ARG001
    resolution: Resolution = 512,
) -> Image:
    """Show how near things in pictures are."""
    return hints.midas_depth(hints.detectors, image, resolution)


@node(
    "Zoe-DepthMapPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Zoe Depth Map",
    category=DEPTH,
    weights=always(ZOE),
)
def zoe_depth(hints: DepthDetectors, *, image: Image, resolution: Resolution = 512) -> Image:
    """Show how near things in pictures are."""
    return hints.zoe_depth(hints.detectors, image, resolution)


def _leres_weights(constants: Mapping[str, Any]) -> Sequence[Annotator]:
    if constants.get("boost") == "enable":
        raise NotAvailableError(BOOST, BOOST_NEEDS)
    return [LERES]


@node(
    "LeReS-DepthMapPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="LeReS Depth Map (enable boost for leres++)",
    category=DEPTH,
    weights=_leres_weights,
)
def leres_depth(
    hints: DepthDetectors,
    *,
    image: Image,
    rm_nearest: Percent = 0,
    rm_background: Percent = 0,
    boost: Annotated[str, Choices(("disable", "enable")), MayBeAbsent()] = "disable",  # noqa: ARG001
    resolution: Resolution = 512,
) -> Image:
    """Show how near things in pictures are."""
    return hints.leres_depth(
        hints.detectors, image, resolution, nearest=rm_nearest, background=rm_background
    )


@node(
    "DepthAnythingPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Depth Anything",
    category=DEPTH,
    weights=chosen_from(DEPTH_ANYTHING, "ckpt_name"),
)
def depth_anything(
    hints: DepthDetectors,
    *,
    image: Image,
    ckpt_name: Annotated[DepthAnything, MayBeAbsent()] = "depth_anything_vitl14.pth",
    resolution: Resolution = 512,
) -> Image:
    """Show how near things in pictures are."""
    return hints.depth_anything(hints.detectors, image, resolution, ckpt_name)


@node(
    "DepthAnythingV2Preprocessor",
    runs_on=Stage.IMAGE,
    display_name="Depth Anything V2 - Relative",
    category=DEPTH,
    weights=chosen_from(DEPTH_ANYTHING_V2, "ckpt_name"),
)
def depth_anything_v2(
    hints: DepthDetectors,
    *,
    image: Image,
    ckpt_name: Annotated[DepthAnythingV2, MayBeAbsent()] = "depth_anything_v2_vitl.pth",
    resolution: Resolution = 512,
) -> Image:
    """Show how near things in pictures are."""
    return hints.depth_anything_v2(hints.detectors, image, resolution, ckpt_name)


@node(
    "BAE-NormalMapPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="BAE Normal Map",
    category=DEPTH,
    weights=always(NORMAL_BAE),
)
def bae_normals(hints: DepthDetectors, *, image: Image, resolution: Resolution = 512) -> Image:
    """Show which way the surfaces of pictures face."""
    return hints.bae_normals(hints.detectors, image, resolution)
